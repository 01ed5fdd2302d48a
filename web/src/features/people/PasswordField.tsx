import { TextField } from "../../components/Form";
import { useI18n } from "../../i18n";
import { generatePassword, MIN_PASSWORD_CHARS } from "../access/password";

type Props = {
  error?: unknown;
  value: string;
  onChange: (value: string) => void;
  isFirst?: boolean;
};

/** A password for someone else: readable, because it has to be handed over, and made up on request. */
export function PasswordField(field: Props) {
  const { t } = useI18n();
  return (
    <TextField
      {...field}
      label={t.people.firstPassword}
      hint={t.account.passwordHint(MIN_PASSWORD_CHARS)}
      beside={
        <button
          type="button"
          className="button quiet"
          onClick={() => field.onChange(generatePassword())}
        >
          {t.people.makePassword}
        </button>
      }
      isName
    />
  );
}
