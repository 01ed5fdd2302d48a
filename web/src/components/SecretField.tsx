import { useId, useState } from "react";
import { Icon } from "./Icon";
import styles from "./SecretField.module.css";

type Props = {
  label: string;
  show: string;
  hide: string;
  placeholder?: string;
  value: string;
  onChange: (value: string) => void;
  autoComplete: string;
  wrong: boolean;
  describedBy: string | undefined;
};

/** A field whose text is hidden unless asked for. */
export function SecretField({ label, show, hide, wrong, describedBy, onChange, ...field }: Props) {
  const id = useId();
  const [visible, setVisible] = useState(false);
  return (
    <>
      <label htmlFor={id}>{label}</label>
      <div className={styles.field}>
        <input
          {...field}
          id={id}
          className="input"
          type={visible ? "text" : "password"}
          autoCapitalize="off"
          spellCheck={false}
          aria-invalid={wrong}
          aria-describedby={describedBy}
          onChange={(event) => onChange(event.target.value)}
        />
        <button
          type="button"
          className="icon-button"
          aria-label={visible ? hide : show}
          aria-pressed={visible}
          onClick={() => setVisible(!visible)}
        >
          <Icon name="eye" />
        </button>
      </div>
    </>
  );
}
