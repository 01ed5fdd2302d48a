import { useEffect, useId, useRef } from "react";
import { CopyButton } from "../../components/CopyButton";
import { Icon } from "../../components/Icon";
import { useI18n } from "../../i18n";
import styles from "./ShownOnce.module.css";

type Item = { label: string; text: string; copy: string };
type Props = { title: string; lead: string; items: Item[]; onDone: () => void };

/** Secrets that cannot be shown again. They stay until the person says that they are kept elsewhere. */
export function ShownOnce({ title, lead, items, onDone }: Props) {
  const { t } = useI18n();
  const titleId = useId();
  const box = useRef<HTMLElement>(null);
  // It appears where the button was that made it: who hears the page is led there.
  useEffect(() => box.current?.focus(), []);
  return (
    <section ref={box} className={styles.once} aria-labelledby={titleId} tabIndex={-1}>
      <h3 id={titleId}>
        <Icon name="key" />
        {title}
      </h3>
      <p>{lead}</p>
      <dl>
        {items.map(({ label, text, copy }) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>
              <code>{text}</code>
              <CopyButton text={text} label={copy} />
            </dd>
          </div>
        ))}
      </dl>
      <button type="button" className="button" onClick={onDone}>
        {t.access.kept}
      </button>
    </section>
  );
}
