import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../../api/client";
import { documentsQuery, downloadDocument, keys } from "../../api/queries";
import { useMay } from "../../api/session";
import type { Document } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import { Icon } from "../../components/Icon";
import { KuraMark } from "../../components/KuraMark";
import { useI18n } from "../../i18n";
import { formatTime } from "../../i18n/time";
import styles from "./DocumentList.module.css";
import { formatSize } from "./format";

type Props = { collection: string | null };

/** The documents of one collection, or of all (`null`). */
export function DocumentList({ collection }: Props) {
  const { t } = useI18n();
  const list = useInfiniteQuery(documentsQuery(collection));
  const [leaving, setLeaving] = useState<Document | null>(null);
  const [downloadError, setDownloadError] = useState<unknown>(null);
  const remove = useRemoveDocument();
  if (list.isPending) return <p className={styles.note}>{t.loading}</p>;
  if (list.isError) return <ErrorNote error={list.error} onRetry={() => void list.refetch()} />;
  const documents = list.data.pages.flatMap((page) => page.items);
  const failure = remove.error ?? downloadError;
  return (
    <>
      {failure !== null && <ErrorNote error={failure} />}
      {documents.length === 0 && <Empty all={collection === null} />}
      <ul className={styles.list}>
        {documents.map((document) => (
          <li key={document.id}>
            <DocumentRow
              document={document}
              showCollection={collection === null}
              onDownload={() => {
                setDownloadError(null);
                downloadDocument(document.id, document.source).catch(setDownloadError);
              }}
              onRemove={() => setLeaving(document)}
            />
          </li>
        ))}
      </ul>
      {list.hasNextPage && (
        <button
          type="button"
          className={`button quiet ${styles.more}`}
          disabled={list.isFetchingNextPage}
          onClick={() => void list.fetchNextPage()}
        >
          {t.more}
        </button>
      )}
      {leaving && (
        <ConfirmDialog
          title={t.documents.confirmTitle}
          text={t.documents.confirm(leaving.title || leaving.source)}
          action={t.documents.delete}
          onConfirm={() => remove.mutate(leaving.id)}
          onClose={() => setLeaving(null)}
        />
      )}
    </>
  );
}

type RowProps = {
  document: Document;
  showCollection: boolean;
  onDownload: () => void;
  onRemove: () => void;
};

function DocumentRow({ document, showCollection, onDownload, onRemove }: RowProps) {
  const { language, t } = useI18n();
  const mayWrite = useMay("write");
  const { title, source, status, warnings, error, version, parent, n_children } = document;
  const name = title || source;
  const facts = [
    // Of what lies in another document it tells in which.
    source === name ? null : source,
    showCollection ? document.collection : null,
    formatSize(document.size_bytes, language),
    status === "indexed" ? t.documents.chunks(document.n_chunks) : null,
    n_children > 0 ? t.documents.files(n_children) : null,
    version > 1 ? t.documents.version(version) : null,
    formatTime(document.updated_at, language),
  ];
  return (
    <article className={styles.row} data-status={status}>
      <span className={styles.kind} aria-hidden="true">
        {extension(source)}
      </span>
      <div className={styles.what}>
        <h3>{name}</h3>
        <p className={styles.facts}>{facts.filter(Boolean).join(" · ")}</p>
        {error && <p className={styles.error}>{error}</p>}
        {warnings.length > 0 && (
          <details className={styles.warnings}>
            <summary>{t.documents.warnings(warnings.length)}</summary>
            <ul>
              {warnings.map((warning) => (
                <li key={warning}>{warning}</li>
              ))}
            </ul>
          </details>
        )}
      </div>
      <span className={styles.status}>{t.documents.status[status]}</span>
      <div className={styles.actions}>
        <button
          type="button"
          className="icon-button"
          aria-label={t.documents.download(name)}
          title={t.documents.download(name)}
          onClick={onDownload}
        >
          <Icon name="download" />
        </button>
        {/* What lies in another document goes with it. */}
        {mayWrite && parent === null && (
          <button
            type="button"
            className="icon-button"
            aria-label={t.documents.remove(name)}
            title={t.documents.remove(name)}
            onClick={onRemove}
          >
            <Icon name="trash" />
          </button>
        )}
      </div>
    </article>
  );
}

function Empty({ all }: { all: boolean }) {
  const { t } = useI18n();
  if (!all) return <p className={styles.note}>{t.documents.emptyCollection}</p>;
  return (
    <div className={styles.empty}>
      <KuraMark />
      <h2>{t.documents.emptyTitle}</h2>
      <p>{t.documents.empty}</p>
    </div>
  );
}

function useRemoveDocument() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => api.DELETE("/api/v1/documents/{id}", { params: { path: { id } } }),
    onSuccess: (_, id) => client.removeQueries({ queryKey: keys.documentText(id) }),
    onSettled: () =>
      Promise.all([
        client.invalidateQueries({ queryKey: keys.documents }),
        client.invalidateQueries({ queryKey: keys.collections }),
      ]),
  });
}

function extension(source: string): string {
  const name = source.split("/").at(-1) ?? source;
  const dot = name.lastIndexOf(".");
  return dot <= 0 ? "—" : name.slice(dot + 1, dot + 6).toUpperCase();
}
