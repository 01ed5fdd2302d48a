import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { useI18n } from "../i18n";
import styles from "./ConfirmDialog.module.css";

type Question = {
  title: string;
  text: string;
  action: string;
  onConfirm: () => void;
};

/** What is done only after a question: the child is the button that begins it. */
export function AskFirst({
  children,
  ...question
}: Question & { children: (ask: () => void) => ReactNode }) {
  const [asking, setAsking] = useState(false);
  return (
    <>
      {children(() => setAsking(true))}
      {asking && <ConfirmDialog {...question} onClose={() => setAsking(false)} />}
    </>
  );
}

type Props = Question & { onClose: () => void };

/** Asks before something is deleted. Mounted means open; Escape and Cancel close it. */
export function ConfirmDialog({ title, text, action, onConfirm, onClose }: Props) {
  const { t } = useI18n();
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  const textId = useId();
  useEffect(() => {
    const opener = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      className={styles.dialog}
      aria-labelledby={titleId}
      aria-describedby={textId}
      onClose={onClose}
    >
      <h2 id={titleId}>{title}</h2>
      <p id={textId}>{text}</p>
      <div className={styles.actions}>
        <button type="button" className="button quiet" onClick={onClose}>
          {t.cancel}
        </button>
        <button
          type="button"
          className="button danger"
          onClick={() => {
            onConfirm();
            onClose();
          }}
        >
          {action}
        </button>
      </div>
    </dialog>
  );
}
