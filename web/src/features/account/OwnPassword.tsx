import type { ReactNode } from "react";
import { Field } from "../../components/Form";
import { SecretInput } from "../../components/SecretInput";
import { useI18n } from "../../i18n";

type Props = {
  label: string;
  hint?: ReactNode;
  error?: unknown;
  isWrong?: boolean;
  value: string;
  onChange: (value: string) => void;
  autoComplete: "current-password" | "new-password";
  /** The first of a form that the person has this moment asked for. */
  isFirst?: boolean;
};

/** Takes a password of one's own. */
export function OwnPassword({ label, hint, error, isWrong, isFirst, ...input }: Props) {
  const { t } = useI18n();
  return (
    <Field label={label} hint={hint} error={error} isWrong={isWrong}>
      {(ties) => (
        <SecretInput
          {...ties}
          {...input}
          show={t.gate.showPassword}
          hide={t.gate.hidePassword}
          autoFocus={isFirst}
        />
      )}
    </Field>
  );
}
