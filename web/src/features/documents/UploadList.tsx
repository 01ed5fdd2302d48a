import { describeError } from "../../components/ErrorNote";
import { Icon } from "../../components/Icon";
import { type Messages, useI18n } from "../../i18n";
import styles from "./UploadList.module.css";
import { isFinished, type Upload, useUploads } from "./uploads";

/** Files being added, each with how far it is. */
export function UploadList() {
  const { t } = useI18n();
  const { uploads, dismiss, clearFinished } = useUploads();
  if (uploads.length === 0) return null;
  return (
    <section className={styles.uploads} aria-label={t.documents.uploads}>
      <header>
        <h2>{t.documents.uploads}</h2>
        {uploads.some(isFinished) && (
          <button type="button" className={styles.clear} onClick={clearFinished}>
            {t.documents.clear}
          </button>
        )}
      </header>
      <ul aria-live="polite">
        {uploads.map((upload) => (
          <li key={upload.id} data-state={upload.state}>
            <UploadRow upload={upload} onDismiss={() => dismiss(upload.id)} />
          </li>
        ))}
      </ul>
    </section>
  );
}

function UploadRow({ upload, onDismiss }: { upload: Upload; onDismiss: () => void }) {
  const { t } = useI18n();
  const { name, collection, state } = upload;
  const value = progressOf(upload);
  const failure = state === "failed" ? failureOf(upload, t) : null;
  return (
    <div className={styles.row}>
      <p className={styles.name}>
        {name} <span className={styles.collection}>{collection}</span>
      </p>
      <p className={styles.state}>
        {state === "done" && <Icon name="check" />}
        {state === "failed" && <Icon name="warning" />}
        {stateOf(upload, t)}
      </p>
      {isFinished(upload) ? (
        <button
          type="button"
          className="icon-button"
          aria-label={t.documents.dismiss(name)}
          onClick={onDismiss}
        >
          <Icon name="close" />
        </button>
      ) : (
        <span className={styles.percent}>
          {value === null ? "" : `${Math.round(value * 100)}%`}
        </span>
      )}
      <progress
        className={styles.progress}
        aria-label={t.documents.progress(name)}
        max={1}
        hidden={state === "failed"}
        {...(value === null ? {} : { value })}
      />
      {failure && <p className={styles.failure}>{failure}</p>}
    </div>
  );
}

function stateOf({ state, job, outcome }: Upload, t: Messages): string {
  switch (state) {
    case "waiting":
      return t.documents.waiting;
    case "sending":
      return t.documents.uploading;
    case "working":
      return job?.stage ? t.documents.stages[job.stage] : t.documents.queued;
    case "done":
      if (outcome === "unchanged") return t.documents.unchanged;
      return outcome === "replaced" ? t.documents.replaced : t.documents.done;
    case "failed":
      return t.documents.failed;
  }
}

/** Between 0 and 1; `null` while there is nothing to measure. */
function progressOf({ state, job }: Upload): number | null {
  if (state === "done") return 1;
  if (state === "waiting") return 0;
  return state === "working" && job ? job.progress : null;
}

function failureOf({ error }: Upload, t: Messages): string {
  if (typeof error === "string") return error;
  const { title, detail, requestId } = describeError(error, t);
  const request = requestId ? ` (${t.errors.requestId} ${requestId})` : "";
  return [title, detail].filter(Boolean).join(": ") + request;
}
