import { type KeyboardEvent, useEffect, useId, useRef, useState } from "react";
import type { Collection } from "../../api/types";
import { Icon } from "../../components/Icon";
import { useI18n } from "../../i18n";
import styles from "./Composer.module.css";

type Props = {
  collections: Collection[];
  /** The collection to search in; `null` means all of them. */
  collection: string | null;
  onCollection: (collection: string | null) => void;
  followUp: boolean;
  running: boolean;
  onAsk: (question: string) => void;
  onStop: () => void;
};

/** The question box. Enter sends, except while an input method is still composing. */
export function Composer(props: Props) {
  const { t } = useI18n();
  const { collections, collection, onCollection, followUp, running, onAsk, onStop } = props;
  const [question, setQuestion] = useState("");
  const box = useRef<HTMLTextAreaElement>(null);
  const boxId = useId();
  const hintId = useId();
  const selectId = useId();

  useEffect(() => {
    // On a touch screen the keyboard would cover the page.
    if (matchMedia("(hover: hover)").matches) box.current?.focus();
  }, []);

  const send = () => {
    const trimmed = question.trim();
    if (trimmed === "" || running) return;
    onAsk(trimmed);
    setQuestion("");
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || isComposing(event)) return;
    event.preventDefault();
    send();
  };

  return (
    <form
      className={styles.composer}
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <label className="visually-hidden" htmlFor={boxId}>
        {t.ask.label}
      </label>
      <textarea
        id={boxId}
        ref={box}
        className={styles.box}
        rows={1}
        value={question}
        placeholder={followUp ? t.ask.followUp : t.ask.placeholder}
        aria-describedby={hintId}
        onChange={(event) => setQuestion(event.target.value)}
        onKeyDown={onKeyDown}
      />
      <div className={styles.row}>
        <label className={styles.collection} htmlFor={selectId}>
          <span className="visually-hidden">{t.ask.collection}</span>
          <Icon name="documents" />
          <select
            id={selectId}
            value={collection ?? ""}
            onChange={(event) => onCollection(event.target.value || null)}
          >
            <option value="">{t.ask.allCollections}</option>
            {collections.map(({ id, name }) => (
              <option key={id} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <span id={hintId} className={styles.hint}>
          {t.ask.hint}
        </span>
        {running ? (
          <button type="button" className={styles.send} aria-label={t.ask.stop} onClick={onStop}>
            <Icon name="stop" />
          </button>
        ) : (
          <button
            type="submit"
            className={styles.send}
            aria-label={t.ask.send}
            disabled={question.trim() === ""}
          >
            <Icon name="send" />
          </button>
        )}
      </div>
    </form>
  );
}

/** Safari ends a composition before the key that ended it, and tells only by the old key code. */
function isComposing({ nativeEvent }: KeyboardEvent): boolean {
  return nativeEvent.isComposing || nativeEvent.keyCode === 229;
}
