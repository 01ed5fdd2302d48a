import { type FormEvent, useState } from "react";
import { api } from "../../api/client";
import { shownOf, useChange } from "../../api/identity";
import type { User } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import form from "../../components/Form.module.css";
import { Section } from "../../components/Page";
import { useI18n } from "../../i18n";
import { isLongEnough } from "../access/password";
import { ShownOnce } from "../access/ShownOnce";
import { PasswordField } from "./PasswordField";
import { isManaged } from "./UserBadges";

/** For the day when somebody has forgotten a password or lost a phone. */
export function SignInHelp({ user }: { user: User }) {
  const { t } = useI18n();
  const [resetting, setResetting] = useState(false);
  const [asking, setAsking] = useState(false);
  const [handOver, setHandOver] = useState<string | null>(null);
  const removeFactor = useChange(
    () => api.DELETE("/api/v1/users/{id}/totp", { params: { path: { id: user.id } } }),
    ...shownOf(user.name),
  );
  const managed = isManaged(user.source);
  if (managed && !user.has_totp) return null;
  return (
    <Section title={t.people.signIn} lead={t.people.signInLead}>
      {handOver !== null && (
        <ShownOnce
          title={t.people.newPasswordTitle(user.display_name)}
          lead={t.people.handOver}
          items={[
            { label: t.gate.name, text: user.name, copy: t.people.copyName },
            { label: t.gate.password, text: handOver, copy: t.people.copyPassword },
          ]}
          onDone={() => setHandOver(null)}
        />
      )}
      {resetting && (
        <ResetPassword
          user={user}
          onReset={(password) => {
            setResetting(false);
            setHandOver(password);
          }}
          onCancel={() => setResetting(false)}
        />
      )}
      {removeFactor.isError && <ErrorNote error={removeFactor.error} />}
      {!resetting && handOver === null && (
        <div className={form.line}>
          {!managed && (
            <button type="button" className="button quiet" onClick={() => setResetting(true)}>
              {t.people.resetPassword}
            </button>
          )}
          {user.has_totp && (
            <button
              type="button"
              className="button quiet"
              disabled={removeFactor.isPending}
              onClick={() => setAsking(true)}
            >
              {t.people.removeFactor}
            </button>
          )}
        </div>
      )}
      {asking && (
        <ConfirmDialog
          title={t.people.removeFactorTitle}
          text={t.people.removeFactorText(user.display_name)}
          action={t.people.removeFactorAction}
          onConfirm={() => removeFactor.mutate(undefined)}
          onClose={() => setAsking(false)}
        />
      )}
    </Section>
  );
}

type ResetProps = { user: User; onReset: (password: string) => void; onCancel: () => void };

function ResetPassword({ user, onReset, onCancel }: ResetProps) {
  const { t } = useI18n();
  const [password, setPassword] = useState("");
  const reset = useChange(
    (given: string) => {
      const params = { path: { id: user.id } };
      return api.PATCH("/api/v1/users/{id}", { params, body: { password: given } });
    },
    ...shownOf(user.name),
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!isLongEnough(password) || reset.isPending) return;
    reset.mutate(password, { onSuccess: () => onReset(password) });
  };
  return (
    <form className={form.panel} onSubmit={submit} aria-label={t.people.resetPassword}>
      <PasswordField value={password} onValue={setPassword} />
      <p className={form.hint}>{t.people.resetEndsSessions}</p>
      {reset.isError && <ErrorNote error={reset.error} />}
      <div className={form.actions}>
        <button
          type="submit"
          className="button"
          disabled={!isLongEnough(password) || reset.isPending}
        >
          {t.people.resetPassword}
        </button>
        <button type="button" className="button quiet" onClick={onCancel}>
          {t.cancel}
        </button>
      </div>
    </form>
  );
}
