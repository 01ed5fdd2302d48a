import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";
import { api } from "../../api/client";
import { identityKeys, singleSignOnQuery, useChange } from "../../api/identity";
import { ErrorNote } from "../../components/ErrorNote";
import { Done } from "../../components/Form";
import form from "../../components/Form.module.css";
import { Section } from "../../components/Page";
import { SecretField } from "../../components/SecretField";
import { useI18n } from "../../i18n";
import { MIN_PASSWORD_CHARS, passwordFault } from "../access/password";

/** Changes one's own password. */
export function PasswordForm({ name }: { name: string }) {
  const { t } = useI18n();
  const hintId = useId();
  const faultId = useId();
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [again, setAgain] = useState("");
  const provider = useQuery(singleSignOnQuery);
  const change = useChange(
    () => api.PUT("/api/v1/session/password", { body: { current, new: next } }),
    identityKeys.sessions(null),
  );
  const fault = passwordFault(next, again);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (current === "" || fault !== null || change.isPending) return;
    change.mutate(undefined, {
      onSuccess: () => {
        setCurrent("");
        setNext("");
        setAgain("");
      },
    });
  };
  const names = { show: t.gate.showPassword, hide: t.gate.hidePassword };
  return (
    <Section
      title={t.account.password}
      lead={
        provider.data?.offered
          ? `${t.account.passwordLead} ${t.account.atProvider}`
          : t.account.passwordLead
      }
    >
      <form className={form.form} onSubmit={submit}>
        {/* For the browser's own store of passwords. */}
        <input
          className="visually-hidden"
          type="text"
          autoComplete="username"
          value={name}
          readOnly
          tabIndex={-1}
          aria-hidden="true"
        />
        <div className={form.field}>
          <SecretField
            {...names}
            label={t.account.currentPassword}
            value={current}
            onChange={setCurrent}
            autoComplete="current-password"
            wrong={false}
            describedBy={undefined}
          />
        </div>
        <div className={form.field}>
          <SecretField
            {...names}
            label={t.account.newPassword}
            value={next}
            onChange={setNext}
            autoComplete="new-password"
            wrong={fault === "short" && next !== ""}
            describedBy={hintId}
          />
          <p id={hintId} className={form.hint}>
            {t.account.passwordHint(MIN_PASSWORD_CHARS)}
          </p>
        </div>
        <div className={form.field}>
          <SecretField
            {...names}
            label={t.account.newPasswordAgain}
            value={again}
            onChange={setAgain}
            autoComplete="new-password"
            wrong={fault === "differs" && again !== ""}
            describedBy={faultId}
          />
          <p id={faultId} className={form.hint} role="status">
            {fault === "differs" && again !== "" && t.account.passwordsDiffer}
          </p>
        </div>
        {change.isError && <ErrorNote error={change.error} />}
        <div className={form.actions}>
          <button
            type="submit"
            className="button"
            disabled={current === "" || fault !== null || change.isPending}
          >
            {t.account.changePassword}
          </button>
          {change.isSuccess && next === "" && <Done>{t.account.passwordChanged}</Done>}
        </div>
      </form>
    </Section>
  );
}
