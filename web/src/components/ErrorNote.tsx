import { ApiError } from "../api/errors";
import { BrokenStream } from "../api/events";
import { type Messages, useI18n } from "../i18n";
import styles from "./ErrorNote.module.css";
import { Icon } from "./Icon";

type Props = { error: unknown; onRetry?: (() => void) | undefined; heading?: string | undefined };

/** What went wrong, in the words of the server where it gave any, and the id to find it in the log. */
export function ErrorNote({ error, onRetry, heading }: Props) {
  const { t } = useI18n();
  const { title, detail, requestId } = describeError(error, t);
  return (
    <div className={styles.note} role="alert">
      <Icon name="warning" />
      <div>
        <p className={styles.title}>{heading ? `${heading}: ${title}` : title}</p>
        {detail && <p className={styles.detail}>{detail}</p>}
        {requestId && (
          <p className={styles.request}>
            {t.errors.requestId} <code>{requestId}</code>
          </p>
        )}
        {onRetry && (
          <button type="button" className="button quiet" onClick={onRetry}>
            {t.retry}
          </button>
        )}
      </div>
    </div>
  );
}

type Description = { title: string; detail: string; requestId: string | null };

/** The words for an error: the server's detail stays as it is, its title is translated where known. */
export function describeError(error: unknown, t: Messages): Description {
  if (error instanceof ApiError) {
    const title = t.errors.codes[error.code] ?? error.title;
    return { title, detail: error.detail, requestId: error.requestId };
  }
  if (error instanceof BrokenStream) {
    return { title: t.errors.broken, detail: t.errors.brokenDetail, requestId: null };
  }
  // What `fetch` throws when there is no reply at all.
  if (error instanceof TypeError) {
    return { title: t.errors.network, detail: t.errors.networkDetail, requestId: null };
  }
  const detail = error instanceof Error ? error.message : String(error);
  return { title: t.errors.title, detail, requestId: null };
}
