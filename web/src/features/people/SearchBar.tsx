import type { ReactNode } from "react";
import { Icon } from "../../components/Icon";
import styles from "./PeopleTabs.module.css";

type Props = {
  label: string;
  text: string;
  onText: (text: string) => void;
  /** How many there are. */
  count: string;
  /** What can be added here. */
  action: ReactNode;
};

/** What stands above a list of people or groups. */
export function SearchBar({ label, text, onText, count, action }: Props) {
  return (
    <div className={styles.bar}>
      <search className={styles.search}>
        <Icon name="search" />
        <input
          className="input"
          type="search"
          aria-label={label}
          placeholder={label}
          value={text}
          onChange={(event) => onText(event.target.value)}
        />
      </search>
      <p className={styles.count} role="status">
        {count}
      </p>
      {action}
    </div>
  );
}
