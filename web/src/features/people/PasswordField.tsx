import { Field } from "../../components/Form";
import { useI18n } from "../../i18n";
import { generatePassword, MIN_PASSWORD_CHARS } from "../access/password";

type Props = { value: string; onValue: (value: string) => void };

/** A password for someone else: readable, because it has to be handed over, and made up on request. */
export function PasswordField({ value, onValue }: Props) {
  const { t } = useI18n();
  return (
    <Field
      label={t.people.firstPassword}
      hint={t.account.passwordHint(MIN_PASSWORD_CHARS)}
      beside={
        <button type="button" className="button quiet" onClick={() => onValue(generatePassword())}>
          {t.people.makePassword}
        </button>
      }
    >
      {(ties) => (
        <input
          {...ties}
          className="input"
          value={value}
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          onChange={(event) => onValue(event.target.value)}
        />
      )}
    </Field>
  );
}
