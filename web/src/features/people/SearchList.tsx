import { type ReactNode, useState } from "react";
import { useMay } from "../../api/session";
import { Icon } from "../../components/Icon";
import { KuraMark } from "../../components/KuraMark";
import { More, Rows } from "../../components/Rows";
import rows from "../../components/Rows.module.css";
import { useI18n } from "../../i18n";
import styles from "./SearchList.module.css";

/** How many are shown before more are asked for. */
const SHOWN = 50;

type Words = {
  list: string;
  search: string;
  count: (n: number) => string;
  add: string;
  none: string;
  noneText: string;
};

type Props<T> = {
  words: Words;
  /** All there are, as far as they have come. */
  all: T[];
  isComplete: boolean;
  find: (all: T[], text: string) => T[];
  row: (item: T) => ReactNode;
  /** The form that adds one. */
  form: (onClose: () => void) => ReactNode;
};

/** A list of people or groups to search, to open and to add to. */
export function SearchList<T>({ words, all, isComplete, find, row, form }: Props<T>) {
  const { t } = useI18n();
  const mayManage = useMay("manage_identity");
  const [text, setText] = useState("");
  const [shown, setShown] = useState(SHOWN);
  const [adding, setAdding] = useState(false);
  const found = find(all, text);
  const search = (next: string) => {
    setText(next);
    setShown(SHOWN);
  };
  return (
    <>
      <div className={styles.bar}>
        <search className={styles.search}>
          <Icon name="search" />
          <input
            className="input"
            type="search"
            aria-label={words.search}
            placeholder={words.search}
            value={text}
            onChange={(event) => search(event.target.value)}
          />
        </search>
        <p className={styles.count} role="status">
          {isComplete ? words.count(found.length) : t.people.loadingMore(all.length)}
        </p>
        {mayManage && !adding && (
          <button type="button" className="button" onClick={() => setAdding(true)}>
            <Icon name="plus" />
            {words.add}
          </button>
        )}
      </div>
      {adding && form(() => setAdding(false))}
      <Rows label={words.list}>{found.slice(0, shown).map((item) => row(item))}</Rows>
      {isComplete && found.length === 0 && (
        <div className={rows.empty}>
          {all.length === 0 && <KuraMark />}
          <h2>{all.length === 0 ? words.none : t.people.notFound}</h2>
          <p>{all.length === 0 ? words.noneText : t.people.notFoundText}</p>
        </div>
      )}
      {found.length > shown && <More onMore={() => setShown(shown + SHOWN)} />}
    </>
  );
}
