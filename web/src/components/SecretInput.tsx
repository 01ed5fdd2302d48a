import { type ComponentProps, useState } from "react";
import { Icon } from "./Icon";
import styles from "./SecretInput.module.css";

type Props = Omit<ComponentProps<"input">, "className" | "onChange" | "type"> & {
  show: string;
  hide: string;
  onChange: (value: string) => void;
};

/** Takes a text that is hidden unless asked for. */
export function SecretInput({ show, hide, onChange, ...input }: Props) {
  const [visible, setVisible] = useState(false);
  return (
    <div className={styles.field}>
      <input
        {...input}
        className="input"
        type={visible ? "text" : "password"}
        autoCapitalize="off"
        spellCheck={false}
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
  );
}
