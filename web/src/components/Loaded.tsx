import type { ReactNode } from "react";
import { ApiError } from "../api/errors";
import { useI18n } from "../i18n";
import { ErrorNote } from "./ErrorNote";
import rows from "./Rows.module.css";

type Asked = { error: unknown; refetch: () => unknown };

type Props<T> = {
  query: Asked & { data: T | undefined; isPending: boolean };
  children: (data: T) => ReactNode;
};

/** What was asked for, once it is there; before, that it is on its way; else why it did not come. */
export function Loaded<T>({ query, children }: Props<T>) {
  const { t } = useI18n();
  return (
    <>
      {query.isPending && <p className={rows.note}>{t.loading}</p>}
      <LoadError query={query} />
      {query.data !== undefined && !isWithheld(query.error) && children(query.data)}
    </>
  );
}

/** Why something did not come, and another try; nothing where it did. */
export function LoadError({ query }: { query: Asked }) {
  if (query.error === null) return null;
  return <ErrorNote error={query.error} onRetry={() => void query.refetch()} />;
}

/** What is gone or no longer for this person is not shown as it was; after a lost connection it may be. */
function isWithheld(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 403 || error.status === 404);
}
