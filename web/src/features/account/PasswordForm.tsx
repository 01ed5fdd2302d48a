import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useChange } from "../../api/change";
import { api } from "../../api/client";
import { ofCode } from "../../api/errors";
import { identityKeys, singleSignOnQuery } from "../../api/identity";
import { Form } from "../../components/Form";
import { Section } from "../../components/Page";
import { useI18n } from "../../i18n";
import { MIN_PASSWORD_CHARS, passwordFault } from "../access/password";
import { OwnPassword } from "./OwnPassword";

/** Changes one's own password. */
export function PasswordForm({ name }: { name: string }) {
  const { t } = useI18n();
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [again, setAgain] = useState("");
  const provider = useQuery(singleSignOnQuery);
  const change = useChange(identityKeys.sessions(null));
  const fault = passwordFault(next, again);
  const differs = fault === "differs" && again !== "";
  const wrong = ofCode(change.error, "invalid_credentials");
  const weak = ofCode(change.error, "invalid_request");
  const save = () =>
    change.run(async () => {
      await api.PUT("/api/v1/session/password", { body: { current, new: next } });
      setCurrent("");
      setNext("");
      setAgain("");
    });
  return (
    <Section
      title={t.account.password}
      lead={
        provider.data?.offered
          ? `${t.account.passwordLead} ${t.account.atProvider}`
          : t.account.passwordLead
      }
    >
      <Form
        action={t.account.changePassword}
        isComplete={current !== "" && fault === null}
        isPending={change.isPending}
        error={wrong || weak ? null : change.error}
        done={change.isDone && next === "" && t.account.passwordChanged}
        onSubmit={save}
      >
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
        <OwnPassword
          label={t.account.currentPassword}
          error={wrong}
          value={current}
          onChange={setCurrent}
          autoComplete="current-password"
        />
        <OwnPassword
          label={t.account.newPassword}
          hint={t.account.passwordHint(MIN_PASSWORD_CHARS)}
          error={weak}
          isWrong={fault === "short" && next !== ""}
          value={next}
          onChange={setNext}
          autoComplete="new-password"
        />
        <OwnPassword
          label={t.account.newPasswordAgain}
          hint={<span role="status">{differs && t.account.passwordsDiffer}</span>}
          isWrong={differs}
          value={again}
          onChange={setAgain}
          autoComplete="new-password"
        />
      </Form>
    </Section>
  );
}
