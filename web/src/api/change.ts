import { type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";

type State = { isPending: boolean; isDone: boolean; error: unknown };

const NOT_YET: State = { isPending: false, isDone: false, error: null };

/**
 * Changes something at the server, one change at a time; what shows it is read anew, whether it was made or refused.
 * No mutation of TanStack Query, whose cache keeps what was sent and what came back: here that may be a secret.
 */
export function useChange(...shownBy: QueryKey[]) {
  const client = useQueryClient();
  const isRunning = useRef(false);
  const [state, setState] = useState(NOT_YET);

  /** Says whether the change was made. */
  const run = async (change: () => Promise<unknown>): Promise<boolean> => {
    // A second press may come before the render that disables the button.
    if (isRunning.current) return false;
    isRunning.current = true;
    setState({ ...NOT_YET, isPending: true });
    const error = await change().then(
      () => null,
      (failure: unknown) => failure,
    );
    await Promise.all(shownBy.map((queryKey) => client.invalidateQueries({ queryKey })));
    isRunning.current = false;
    setState({ ...NOT_YET, isDone: error === null, error });
    return error === null;
  };
  return { ...state, run };
}
