import { type ReactNode, useId } from "react";
import styles from "./Form.module.css";

type FieldProps = {
  label: string;
  hint?: string | undefined;
  /** A button that fills or sends it. */
  beside?: ReactNode;
  /** The control, with what ties it to its label and hint. */
  children: (ties: { id: string; "aria-describedby": string | undefined }) => ReactNode;
};

/** A label, a control and what there is to know about it. */
export function Field({ label, hint, beside, children }: FieldProps) {
  const id = useId();
  const hintId = useId();
  const control = children({ id, "aria-describedby": hint ? hintId : undefined });
  return (
    <div className={styles.field}>
      <label htmlFor={id}>{label}</label>
      {beside ? (
        <div className={styles.control}>
          {control}
          {beside}
        </div>
      ) : (
        control
      )}
      {hint && (
        <p id={hintId} className={styles.hint}>
          {hint}
        </p>
      )}
    </div>
  );
}

type ChoiceProps<T extends string> = {
  label: string;
  options: { value: T; label: string; hint?: string }[];
  value: T;
  onChange: (value: T) => void;
};

/** One of a few, all of which are shown. */
export function Choice<T extends string>({ label, options, value, onChange }: ChoiceProps<T>) {
  const name = useId();
  return (
    <fieldset className={styles.choice}>
      <legend>{label}</legend>
      {options.map((option) => (
        <label key={option.value}>
          <input
            type="radio"
            name={name}
            checked={value === option.value}
            onChange={() => onChange(option.value)}
          />
          <span>
            {option.label}
            {option.hint && <span className={styles.hint}> {option.hint}</span>}
          </span>
        </label>
      ))}
    </fieldset>
  );
}

type ChecksProps = {
  label: string;
  options: string[];
  chosen: string[];
  onChange: (chosen: string[]) => void;
};

/** Any of a list. */
export function Checks({ label, options, chosen, onChange }: ChecksProps) {
  return (
    <fieldset className={styles.checks}>
      <legend>{label}</legend>
      <div>
        {options.map((option) => (
          <label key={option}>
            <input
              type="checkbox"
              checked={chosen.includes(option)}
              onChange={({ target }) =>
                onChange(
                  target.checked ? [...chosen, option] : chosen.filter((one) => one !== option),
                )
              }
            />
            <span>{option}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** What just happened, also for who does not see it. */
export function Done({ children }: { children: ReactNode }) {
  return (
    <p className={styles.done} role="status">
      {children}
    </p>
  );
}
