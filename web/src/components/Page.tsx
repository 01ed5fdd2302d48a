import { type ReactNode, useEffect, useId } from "react";
import { Link } from "react-router";
import styles from "./Page.module.css";

type Props = {
  title: string;
  lead?: ReactNode;
  /** The page that this one lies below. */
  above?: { to: string; label: string };
  children: ReactNode;
};

/** The frame of a page that is read from top to bottom: its title, and sections below. */
export function Page({ title, lead, above, children }: Props) {
  useEffect(() => {
    document.title = `${title} — kura`;
  }, [title]);
  return (
    <div className={styles.page}>
      <div className={styles.column}>
        <header>
          {above && (
            <Link className={styles.above} to={above.to}>
              <span aria-hidden="true">‹ </span>
              {above.label}
            </Link>
          )}
          <h1>{title}</h1>
          {lead && <div className={styles.lead}>{lead}</div>}
        </header>
        {children}
      </div>
    </div>
  );
}

type SectionProps = { title: string; lead?: ReactNode; action?: ReactNode; children: ReactNode };

/** A part of a page, with what can be begun there beside its title. */
export function Section({ title, lead, action, children }: SectionProps) {
  const id = useId();
  return (
    <section className={styles.section} aria-labelledby={id}>
      <div className={styles.head}>
        <h2 id={id}>{title}</h2>
        {action}
      </div>
      {lead && <p className={styles.sectionLead}>{lead}</p>}
      {children}
    </section>
  );
}
