import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";
import { api, body } from "../../api/client";
import { keys } from "../../api/queries";
import { ErrorNote } from "../../components/ErrorNote";
import { useI18n } from "../../i18n";
import styles from "./CollectionTarget.module.css";

type Props = { names: string[]; target: string; onTarget: (name: string) => void };

/** No name of a collection is empty, so this cannot be one. */
const NEW = "";

/** The collection that files are added to: an existing one, or one made here. */
export function CollectionTarget({ names, target, onTarget }: Props) {
  const { t } = useI18n();
  const selectId = useId();
  const [naming, setNaming] = useState(false);
  return (
    <div className={styles.target}>
      <label htmlFor={selectId}>{t.documents.uploadTo}</label>
      <select
        id={selectId}
        className="select"
        value={naming ? NEW : target}
        onChange={(event) => {
          setNaming(event.target.value === NEW);
          if (event.target.value !== NEW) onTarget(event.target.value);
        }}
      >
        {names.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
        <option value={NEW}>{t.documents.newCollection}</option>
      </select>
      {naming && (
        <NewCollection
          onCreated={(name) => {
            setNaming(false);
            onTarget(name);
          }}
          onCancel={() => setNaming(false)}
        />
      )}
    </div>
  );
}

type NewProps = { onCreated: (name: string) => void; onCancel: () => void };

function NewCollection({ onCreated, onCancel }: NewProps) {
  const { t } = useI18n();
  const client = useQueryClient();
  const [name, setName] = useState("");
  const create = useMutation({
    mutationFn: async () =>
      body(await api.POST("/api/v1/collections", { body: { name: name.trim() } })),
    onSuccess: async (collection) => {
      await client.invalidateQueries({ queryKey: keys.collections });
      onCreated(collection.name);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim() !== "") create.mutate();
  };
  return (
    <form className={styles.form} onSubmit={submit}>
      <input
        className="input"
        aria-label={t.documents.newCollectionName}
        placeholder={t.documents.newCollectionName}
        value={name}
        // biome-ignore lint/a11y/noAutofocus: the person has this moment asked for the field
        autoFocus
        onChange={(event) => setName(event.target.value)}
      />
      <button type="submit" className="button" disabled={create.isPending || name.trim() === ""}>
        {t.documents.create}
      </button>
      <button type="button" className="button quiet" onClick={onCancel}>
        {t.cancel}
      </button>
      {create.isError && <ErrorNote error={create.error} />}
    </form>
  );
}
