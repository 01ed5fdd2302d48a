import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "react-router";
import { api, body } from "../../api/client";
import { activeJobsQuery, collectionsQuery, keys } from "../../api/queries";
import { useMay } from "../../api/session";
import type { Collection } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import { Icon } from "../../components/Icon";
import { Page } from "../../components/Page";
import { useI18n } from "../../i18n";
import { CollectionTarget } from "./CollectionTarget";
import { DocumentList } from "./DocumentList";
import styles from "./DocumentsPage.module.css";
import { DropZone } from "./DropZone";
import { UploadList } from "./UploadList";
import { useUploads } from "./uploads";

/** What is stored, and the door through which more comes in. */
export function DocumentsPage() {
  const { t } = useI18n();
  const collections = useQuery(collectionsQuery);
  const [shown, setShown] = useState<string | null>(null);
  const [chosen, setChosen] = useState<string | null>(null);
  const { add } = useUploads();
  const client = useQueryClient();
  const mayWrite = useMay("write");
  useAdoptedJobs();

  const names = (collections.data ?? []).map(({ name }) => name);
  const target = chosen ?? shown ?? names[0] ?? t.documents.defaultCollection;
  const current = collections.data?.find(({ name }) => name === shown);
  const total = (collections.data ?? []).reduce((sum, { n_documents }) => sum + n_documents, 0);
  const isNew = !names.includes(target);
  const take = useMutation({
    mutationFn: async (files: File[]) => {
      // The suggested collection need not exist yet, and an editor adds only to one that does.
      if (isNew) {
        body(await api.POST("/api/v1/collections", { body: { name: target } }));
        await client.invalidateQueries({ queryKey: keys.collections });
      }
      add(files, target);
    },
  });
  return (
    <Page title={t.documents.title} lead={t.documents.lead}>
      {mayWrite && (
        <>
          <CollectionTarget
            names={isNew ? [...names, target] : names}
            target={target}
            onTarget={setChosen}
          />
          <DropZone disabled={collections.isPending || take.isPending} onFiles={take.mutate} />
          {take.isError && <ErrorNote error={take.error} />}
        </>
      )}
      <UploadList />
      <section className={styles.stored} aria-label={t.documents.list}>
        <div className={styles.filter}>
          <fieldset>
            <legend className="visually-hidden">{t.documents.collections}</legend>
            <Tab
              name={t.documents.all}
              n={total}
              pressed={shown === null}
              onPress={() => setShown(null)}
            />
            {(collections.data ?? []).map(({ id, name, n_documents }) => (
              <Tab
                key={id}
                name={name}
                n={n_documents}
                pressed={shown === name}
                onPress={() => {
                  setShown(name);
                  setChosen(null);
                }}
              />
            ))}
          </fieldset>
          {mayWrite && current && (
            <div className={styles.tools}>
              <Link
                className="icon-button"
                to={`/documents/${encodeURIComponent(current.name)}/members`}
                aria-label={t.members.of(current.name)}
                title={t.members.of(current.name)}
              >
                <Icon name="people" />
              </Link>
              <RemoveCollection collection={current} onRemoved={() => setShown(null)} />
            </div>
          )}
        </div>
        {collections.isError && (
          <ErrorNote error={collections.error} onRetry={() => void collections.refetch()} />
        )}
        <DocumentList collection={shown} />
      </section>
    </Page>
  );
}

type TabProps = { name: string; n: number; pressed: boolean; onPress: () => void };

function Tab({ name, n, pressed, onPress }: TabProps) {
  const { language } = useI18n();
  return (
    <button type="button" className={styles.tab} aria-pressed={pressed} onClick={onPress}>
      {name} <span className={styles.count}>{n.toLocaleString(language)}</span>
    </button>
  );
}

type RemoveProps = { collection: Collection; onRemoved: () => void };

function RemoveCollection({ collection, onRemoved }: RemoveProps) {
  const { t } = useI18n();
  const client = useQueryClient();
  const [asking, setAsking] = useState(false);
  const remove = useMutation({
    mutationFn: () =>
      api.DELETE("/api/v1/collections/{name}", { params: { path: { name: collection.name } } }),
    onSuccess: async () => {
      onRemoved();
      await Promise.all([
        client.invalidateQueries({ queryKey: keys.collections }),
        client.invalidateQueries({
          queryKey: keys.documents,
          // The list of the collection itself is on the page until the next render: asking for it would be a 404.
          predicate: ({ queryKey }) => queryKey[1] !== collection.name,
        }),
      ]);
    },
  });
  return (
    <>
      <button
        type="button"
        className="icon-button"
        aria-label={t.documents.deleteCollection}
        title={t.documents.deleteCollection}
        onClick={() => setAsking(true)}
      >
        <Icon name="trash" />
      </button>
      {remove.isError && <ErrorNote error={remove.error} />}
      {asking && (
        <ConfirmDialog
          title={t.documents.confirmCollectionTitle(collection.name)}
          text={t.documents.confirmCollection(collection.n_documents)}
          action={t.documents.delete}
          onConfirm={() => remove.mutate()}
          onClose={() => setAsking(false)}
        />
      )}
    </>
  );
}

/** Shows the work that was going on before this page was opened. */
function useAdoptedJobs() {
  const { adopt } = useUploads();
  const enabled = useMay("watch_jobs");
  const { data } = useQuery({ ...activeJobsQuery, enabled });
  // biome-ignore lint/correctness/useExhaustiveDependencies: `adopt` changes with every upload
  useEffect(() => {
    for (const job of data ?? []) adopt(job);
  }, [data]);
}
