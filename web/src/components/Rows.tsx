import { type FocusEvent, type ReactNode, useEffect, useRef } from "react";
import { useI18n } from "../i18n";
import styles from "./Rows.module.css";

type RowsProps = {
  label: string;
  /** What is said where there are none. */
  none?: ReactNode;
  children: ReactNode[];
};

/** A list of people, groups, keys or sessions. */
export function Rows({ label, none, children }: RowsProps) {
  const { list, follow } = useFocusAfterRemoval(children.length);
  return (
    <>
      {children.length === 0 && none && <p className={styles.note}>{none}</p>}
      <ul ref={list} className={styles.rows} aria-label={label} tabIndex={-1} {...follow}>
        {children}
      </ul>
    </>
  );
}

type RowProps = {
  name: ReactNode;
  /** The name to sign in with, where another one is shown. */
  login?: string | undefined;
  facts?: ReactNode;
  /** One below the heading that the list is under. */
  heading?: "h2" | "h3";
  /** Marks, and what can be done. */
  children?: ReactNode;
};

/** What something is, what is known of it, and what can be done with it. */
export function Row({ name, login, facts, heading: Heading = "h3", children }: RowProps) {
  return (
    <li>
      <div className={styles.what}>
        <Heading className={styles.name}>
          {name}
          {login !== undefined && <span className={styles.login}>{login}</span>}
        </Heading>
        {facts}
      </div>
      {children}
    </li>
  );
}

/** What is known of something, in a line. */
export function Facts({ of }: { of: (string | false | null | undefined)[] }) {
  return <p className={styles.facts}>{of.filter(Boolean).join(" · ")}</p>;
}

type BadgeProps = { tone?: "accent" | "seal" | undefined; title?: string; children: ReactNode };

/** A mark that is seen at a glance. */
export function Badge({ tone, title, children }: BadgeProps) {
  return (
    <span className={styles.badge} data-tone={tone} title={title}>
      {children}
    </span>
  );
}

/** Asks for the rest of a list. */
export function More({ disabled, onMore }: { disabled?: boolean; onMore: () => void }) {
  const { t } = useI18n();
  return (
    <button
      type="button"
      className={`button quiet ${styles.more}`}
      disabled={disabled}
      onClick={onMore}
    >
      {t.more}
    </button>
  );
}

/** A row that is removed takes the focus with it; the list takes it then, so that the keyboard goes on from there. */
function useFocusAfterRemoval(length: number) {
  const list = useRef<HTMLUListElement>(null);
  const hadFocus = useRef(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: it is about a change of the length
  useEffect(() => {
    const isLost = document.activeElement === document.body;
    if (hadFocus.current && isLost) list.current?.focus({ preventScroll: true });
  }, [length]);
  const follow = {
    onFocus: () => {
      hadFocus.current = true;
    },
    onBlur: ({ relatedTarget }: FocusEvent) => {
      // Where it went to nothing, its element may just have been disabled.
      if (relatedTarget !== null) hadFocus.current = false;
    },
  };
  return { list, follow };
}
