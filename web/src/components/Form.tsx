import { type ComponentProps, type FormEvent, type ReactNode, useId } from "react";
import { useI18n } from "../i18n";
import { ErrorNote } from "./ErrorNote";
import styles from "./Form.module.css";

type FormProps = {
  /** Names a form that stands among other things, and frames it. */
  label?: string;
  /** What it does, on its button; without one the fields are only looked at. */
  action?: string | undefined;
  isDanger?: boolean;
  /** Whether all is there that it takes. */
  isComplete: boolean;
  isPending: boolean;
  /** Why it was refused, where no field says so. */
  error: unknown;
  /** What has been done with it. */
  done?: string | false;
  onSubmit: () => void;
  onCancel?: () => void;
  children: ReactNode;
};

/** Fields, and what is done with them. It cannot be left by its button once what it does is under way. */
export function Form(props: FormProps) {
  const { label, action, isDanger, isComplete, isPending, error, done, onCancel, children } = props;
  const { t } = useI18n();
  const isReady = isComplete && !isPending;
  return (
    <form
      className={label === undefined ? styles.form : styles.panel}
      aria-label={label}
      onSubmit={submits(() => isReady && props.onSubmit())}
    >
      {children}
      {error !== null && <ErrorNote error={error} />}
      {action !== undefined && (
        <div className={styles.actions}>
          <button
            type="submit"
            className={isDanger ? "button danger" : "button"}
            disabled={!isReady}
          >
            {action}
          </button>
          {onCancel && (
            <button type="button" className="button quiet" disabled={isPending} onClick={onCancel}>
              {t.cancel}
            </button>
          )}
          {done && (
            <p className={styles.done} role="status">
              {done}
            </p>
          )}
        </div>
      )}
    </form>
  );
}

/** Does something with a form instead of loading the page anew. */
export function submits(act: () => unknown) {
  return (event: FormEvent) => {
    event.preventDefault();
    act();
  };
}

type Ties = {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": boolean | undefined;
};

type About = {
  label: string;
  hint?: ReactNode;
  /** Why the server refused what is in it. */
  error?: unknown;
  /** Whether it can be seen here already that it will not do. */
  isWrong?: boolean;
  /** A button that fills or sends it. */
  beside?: ReactNode;
};

/** The control comes with what ties it to its label and to what is said about it. */
type FieldProps = About & { children: (ties: Ties) => ReactNode };

/** A label, a control, what there is to know about it and what is wrong with it. */
export function Field({ label, hint, error = null, isWrong, beside, children }: FieldProps) {
  const id = useId();
  const hintId = useId();
  const errorId = useId();
  const describedBy = [hint && hintId, error !== null && errorId].filter(Boolean).join(" ");
  const control = children({
    id,
    "aria-describedby": describedBy || undefined,
    "aria-invalid": isWrong || error !== null || undefined,
  });
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
      {error !== null && (
        <div id={errorId}>
          <ErrorNote error={error} />
        </div>
      )}
    </div>
  );
}

type Option<T extends string> = { value: T; label: string };

type TextFieldProps = About &
  Pick<ComponentProps<"input">, "disabled" | "inputMode" | "maxLength" | "type"> & {
    value: string;
    onChange: (value: string) => void;
    /** For the browser and for managers of passwords. */
    autoComplete?: string;
    /** A name: nothing capitalizes or corrects it. */
    isName?: boolean;
    /** The first of a form that the person has this moment asked for. */
    isFirst?: boolean;
    /** What one may choose to type. */
    suggestions?: Option<string>[];
  };

/** Takes a line of text. */
export function TextField(props: TextFieldProps) {
  const { label, hint, error, isWrong, beside, onChange, isName, isFirst, suggestions, ...input } =
    props;
  const listId = useId();
  return (
    <Field label={label} hint={hint} error={error} isWrong={isWrong} beside={beside}>
      {(ties) => (
        <>
          <input
            autoComplete="off"
            {...input}
            {...ties}
            className="input"
            autoCapitalize={isName ? "off" : undefined}
            spellCheck={isName ? false : undefined}
            list={suggestions && listId}
            // biome-ignore lint/a11y/noAutofocus: only where the person has asked for the form
            autoFocus={isFirst}
            onChange={(event) => onChange(event.target.value)}
          />
          {suggestions && (
            <datalist id={listId}>
              <Options of={suggestions} />
            </datalist>
          )}
        </>
      )}
    </Field>
  );
}

type SelectFieldProps<T extends string> = About & {
  options: Option<T>[];
  value: T;
  onChange: (value: T) => void;
  disabled?: boolean;
};

/** Takes one of a list. */
export function SelectField<T extends string>(props: SelectFieldProps<T>) {
  const { options, value, onChange, disabled, ...about } = props;
  return (
    <Field {...about}>
      {(ties) => (
        <select
          {...ties}
          className="select"
          value={value}
          disabled={disabled}
          onChange={(event) => onChange(event.target.value as T)}
        >
          <Options of={options} />
        </select>
      )}
    </Field>
  );
}

export function Options({ of }: { of: Option<string>[] }) {
  return of.map(({ value, label }) => (
    <option key={value} value={value}>
      {label}
    </option>
  ));
}

type ChoiceProps<T extends string> = {
  label: string;
  options: Option<T>[];
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
          <span>{option.label}</span>
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
