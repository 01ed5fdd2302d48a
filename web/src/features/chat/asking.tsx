/** The questions that are being answered; they go on while the person looks at another page. */
import { useQueryClient } from "@tanstack/react-query";
import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { useLocation, useNavigate } from "react-router";
import { isAbort } from "../../api/errors";
import { ask } from "../../api/events";
import { conversationQuery, keys } from "../../api/queries";
import type { Answer, ConversationDetail, Hit, Question } from "../../api/types";

/** A question without its verified answer: still being answered, or stopped, or failed. */
export type OpenTurn = {
  question: string;
  collections: string[] | null;
  state: "searching" | "writing" | "stopped" | "failed";
  hits: Hit[];
  text: string;
  error: unknown;
};

/** The conversation of a turn; a new one has no id until the server gives it. */
export type ConversationKey = string | null;

type Asking = {
  turnOf: (conversation: ConversationKey) => OpenTurn | null;
  isRunning: (conversation: ConversationKey) => boolean;
  askQuestion: (
    conversation: ConversationKey,
    question: string,
    collections: string[] | null,
  ) => void;
  stop: (conversation: ConversationKey) => void;
  forget: (conversation: ConversationKey) => void;
};

const NEW = "";
/** How often new words are drawn: often enough to look alive, seldom enough to stay cheap. */
const DRAW_EVERY_MS = 50;

const AskingContext = createContext<Asking | null>(null);

export function AskingProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const { pathname } = useLocation();
  const path = useRef(pathname);
  path.current = pathname;
  const [turns, setTurns] = useState<Record<string, OpenTurn>>({});
  const running = useRef(new Map<string, AbortController>());

  useEffect(() => {
    const controllers = running.current;
    return () => {
      for (const controller of controllers.values()) controller.abort();
    };
  }, []);

  const put = useCallback((key: string, turn: OpenTurn | null) => {
    setTurns(({ [key]: _, ...others }) => (turn ? { ...others, [key]: turn } : others));
  }, []);

  const run = useCallback(
    async (conversation: ConversationKey, question: string, collections: string[] | null) => {
      let key = conversation ?? NEW;
      const controller = new AbortController();
      running.current.set(key, controller);
      let turn: OpenTurn = {
        question,
        collections,
        state: "searching",
        hits: [],
        text: "",
        error: null,
      };
      put(key, turn);
      let drawn: ReturnType<typeof setTimeout> | undefined;
      const draw = () => {
        clearTimeout(drawn);
        drawn = undefined;
        put(key, turn);
      };
      try {
        const body: Question = {
          question,
          ...(collections ? { collections } : {}),
          ...(conversation ? { conversation } : {}),
        };
        for await (const event of ask(body, controller.signal)) {
          switch (event.kind) {
            case "retrieved": {
              turn = { ...turn, state: "writing", hits: event.items };
              if (key !== event.conversation) {
                put(key, null);
                running.current.delete(key);
                const wasNew = key === NEW;
                key = event.conversation;
                running.current.set(key, controller);
                if (wasNew) {
                  client.setQueryData(
                    conversationQuery(key).queryKey,
                    (known: ConversationDetail | undefined) =>
                      known ?? { id: key, title: question, messages: [] },
                  );
                  if (path.current === "/") void navigate(`/c/${key}`, { replace: true });
                }
              }
              draw();
              void client.invalidateQueries({ queryKey: keys.conversations });
              break;
            }
            case "delta":
              turn = { ...turn, state: "writing", text: turn.text + event.text };
              drawn ??= setTimeout(draw, DRAW_EVERY_MS);
              break;
            case "completed":
              client.setQueryData(
                conversationQuery(key).queryKey,
                (known: ConversationDetail | undefined) =>
                  known && withTurn(known, question, event.answer),
              );
              clearTimeout(drawn);
              put(key, null);
              void client.invalidateQueries({ queryKey: keys.conversations });
              break;
          }
        }
      } catch (error) {
        const stopped = controller.signal.aborted || isAbort(error);
        turn = stopped ? { ...turn, state: "stopped" } : { ...turn, state: "failed", error };
        draw();
      } finally {
        if (running.current.get(key) === controller) running.current.delete(key);
      }
    },
    [client, navigate, put],
  );

  const asking = useMemo<Asking>(
    () => ({
      turnOf: (conversation) => turns[conversation ?? NEW] ?? null,
      isRunning: (conversation) => isOpen(turns[conversation ?? NEW]),
      askQuestion: (conversation, question, collections) => {
        if (running.current.has(conversation ?? NEW)) return;
        void run(conversation, question, collections);
      },
      stop: (conversation) => running.current.get(conversation ?? NEW)?.abort(),
      forget: (conversation) => {
        running.current.get(conversation ?? NEW)?.abort();
        put(conversation ?? NEW, null);
      },
    }),
    [turns, run, put],
  );
  return <AskingContext value={asking}>{children}</AskingContext>;
}

export function useAsking(): Asking {
  const asking = useContext(AskingContext);
  if (!asking) throw new Error("useAsking needs an AskingProvider above it");
  return asking;
}

function isOpen(turn: OpenTurn | undefined): boolean {
  return turn?.state === "searching" || turn?.state === "writing";
}

function withTurn(known: ConversationDetail, question: string, answer: Answer): ConversationDetail {
  const created_at = new Date().toISOString();
  return {
    ...known,
    messages: [
      ...known.messages,
      { role: "user", content: question, answer: null, feedback: null, created_at },
      { role: "assistant", content: answer.text, answer, feedback: null, created_at },
    ],
  };
}
