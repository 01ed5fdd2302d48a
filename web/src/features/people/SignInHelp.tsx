import { useState } from "react";
import { useChange } from "../../api/change";
import { api } from "../../api/client";
import { ofCode } from "../../api/errors";
import { shownOf } from "../../api/identity";
import type { User } from "../../api/types";
import { AskFirst } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import { Form } from "../../components/Form";
import form from "../../components/Form.module.css";
import { Section } from "../../components/Page";
import { useI18n } from "../../i18n";
import { isLongEnough } from "../access/password";
import { HandOver } from "./HandOver";
import { PasswordField } from "./PasswordField";
import { isManaged } from "./UserBadges";

/** For the day when somebody has forgotten a password or lost a phone. */
export function SignInHelp({ user }: { user: User }) {
  const { t } = useI18n();
  const [resetting, setResetting] = useState(false);
  const [handOver, setHandOver] = useState<string | null>(null);
  const change = useChange(...shownOf(user.name));
  const removeFactor = () =>
    change.run(() => api.DELETE("/api/v1/users/{id}/totp", { params: { path: { id: user.id } } }));
  const managed = isManaged(user.source);
  if (managed && !user.has_totp) return null;
  return (
    <Section title={t.people.signIn} lead={t.people.signInLead}>
      {handOver !== null && (
        <HandOver
          title={t.people.newPasswordTitle(user.display_name)}
          name={user.name}
          password={handOver}
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
      {change.error !== null && <ErrorNote error={change.error} />}
      {!resetting && handOver === null && (
        <div className={form.line}>
          {!managed && (
            <button type="button" className="button quiet" onClick={() => setResetting(true)}>
              {t.people.resetPassword}
            </button>
          )}
          {user.has_totp && (
            <AskFirst
              title={t.people.removeFactorTitle}
              text={t.people.removeFactorText(user.display_name)}
              action={t.people.removeFactorAction}
              onConfirm={removeFactor}
            >
              {(ask) => (
                <button
                  type="button"
                  className="button quiet"
                  disabled={change.isPending}
                  onClick={ask}
                >
                  {t.people.removeFactor}
                </button>
              )}
            </AskFirst>
          )}
        </div>
      )}
    </Section>
  );
}

type ResetProps = { user: User; onReset: (password: string) => void; onCancel: () => void };

function ResetPassword({ user, onReset, onCancel }: ResetProps) {
  const { t } = useI18n();
  const [password, setPassword] = useState("");
  const change = useChange(...shownOf(user.name));
  const weak = ofCode(change.error, "invalid_request");
  const reset = () =>
    change.run(async () => {
      const params = { path: { id: user.id } };
      await api.PATCH("/api/v1/users/{id}", { params, body: { password } });
      onReset(password);
    });
  return (
    <Form
      label={t.people.resetPassword}
      action={t.people.resetPassword}
      isComplete={isLongEnough(password)}
      isPending={change.isPending}
      error={weak ? null : change.error}
      onSubmit={reset}
      onCancel={onCancel}
    >
      <PasswordField error={weak} value={password} onChange={setPassword} isFirst />
      <p className={form.hint}>{t.people.resetEndsSessions}</p>
    </Form>
  );
}
