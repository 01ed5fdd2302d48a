import { type FormEvent, useState } from "react";
import { api, body, currentAccount } from "../../api/client";
import { useChange } from "../../api/identity";
import { signIn } from "../../api/session";
import type { Account, TotpEnrollment } from "../../api/types";
import { CopyButton } from "../../components/CopyButton";
import { ErrorNote } from "../../components/ErrorNote";
import { Field } from "../../components/Form";
import form from "../../components/Form.module.css";
import { Section } from "../../components/Page";
import rows from "../../components/Rows.module.css";
import { SecretField } from "../../components/SecretField";
import { useI18n } from "../../i18n";
import { ShownOnce } from "../access/ShownOnce";
import { QrCode } from "./QrCode";
import styles from "./SecondFactor.module.css";

/** Where one stands: nothing is going on, the password is asked for, or the app has to show a code. */
type Step = { at: "rest" } | { at: "prove" } | { at: "confirm"; enrollment: TotpEnrollment };

/** Sets up and removes one's authenticator app. */
export function SecondFactor({ account }: { account: Account }) {
  const { t } = useI18n();
  const [step, setStep] = useState<Step>({ at: "rest" });
  const [codes, setCodes] = useState<string[] | null>(null);
  const has = account.has_totp;
  const rest = async () => {
    setStep({ at: "rest" });
    // The account says whether there is a second factor, so it is asked for anew.
    signIn(await currentAccount());
  };
  return (
    <Section
      title={t.account.factor}
      lead={t.account.factorLead}
      action={
        <span className={rows.badge} data-tone={has ? "accent" : undefined}>
          {has ? t.account.factorOn : t.account.factorOff}
        </span>
      }
    >
      {codes && (
        <ShownOnce
          title={t.account.recoveryTitle}
          lead={t.account.recoveryLead}
          items={[
            { label: t.account.recoveryCodes, text: codes.join("\n"), copy: t.account.copyCodes },
          ]}
          onDone={() => setCodes(null)}
        />
      )}
      {step.at === "rest" && !codes && (
        <div className={form.line}>
          <button type="button" className="button quiet" onClick={() => setStep({ at: "prove" })}>
            {has ? t.account.factorRemove : t.account.factorSetUp}
          </button>
        </div>
      )}
      {step.at === "prove" && (
        <Prove
          removes={has}
          onEnroll={(enrollment) => setStep({ at: "confirm", enrollment })}
          onRemoved={rest}
          onCancel={() => setStep({ at: "rest" })}
        />
      )}
      {step.at === "confirm" && (
        <Confirm
          enrollment={step.enrollment}
          onCodes={async (made) => {
            setCodes(made);
            await rest();
          }}
          onCancel={() => setStep({ at: "rest" })}
        />
      )}
    </Section>
  );
}

type ProveProps = {
  removes: boolean;
  onEnroll: (enrollment: TotpEnrollment) => void;
  onRemoved: () => Promise<void>;
  onCancel: () => void;
};

/** Asks for the password: whoever sits at an open session may not know it. */
function Prove({ removes, onEnroll, onRemoved, onCancel }: ProveProps) {
  const { t } = useI18n();
  const [password, setPassword] = useState("");
  const prove = useChange(async (given: string) => {
    if (removes) {
      await api.POST("/api/v1/session/totp/remove", { body: { password: given } });
      await onRemoved();
    } else {
      onEnroll(body(await api.POST("/api/v1/session/totp", { body: { password: given } })));
    }
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (password !== "" && !prove.isPending) prove.mutate(password);
  };
  return (
    <form className={form.form} onSubmit={submit}>
      {removes && <p className={form.notice}>{t.account.factorRemoveText}</p>}
      <div className={form.field}>
        <SecretField
          label={t.account.currentPassword}
          show={t.gate.showPassword}
          hide={t.gate.hidePassword}
          value={password}
          onChange={setPassword}
          autoComplete="current-password"
          wrong={prove.isError}
          describedBy={undefined}
        />
      </div>
      {prove.isError && <ErrorNote error={prove.error} />}
      <div className={form.actions}>
        <button
          type="submit"
          className={removes ? "button danger" : "button"}
          disabled={password === "" || prove.isPending}
        >
          {removes ? t.account.factorRemove : t.account.factorNext}
        </button>
        <button type="button" className="button quiet" onClick={onCancel}>
          {t.cancel}
        </button>
      </div>
    </form>
  );
}

type ConfirmProps = {
  enrollment: TotpEnrollment;
  onCodes: (codes: string[]) => Promise<void>;
  onCancel: () => void;
};

/** Shows what the app needs and asks for the code that it makes of it. */
function Confirm({ enrollment, onCodes, onCancel }: ConfirmProps) {
  const { t } = useI18n();
  const [code, setCode] = useState("");
  const confirm = useChange(async (given: string) => {
    const reply = await api.POST("/api/v1/session/totp/confirm", { body: { code: given } });
    await onCodes(body(reply).recovery_codes);
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (code.trim() !== "" && !confirm.isPending) confirm.mutate(code.trim());
  };
  return (
    <form className={form.panel} onSubmit={submit}>
      <div className={styles.enroll}>
        <QrCode text={enrollment.url} label={t.account.qrCode} />
        <div className={styles.steps}>
          <p>{t.account.factorScan}</p>
          <div>
            <p className={form.hint}>{t.account.factorType}</p>
            <p className={styles.secret}>
              <code>{enrollment.secret}</code>
              <CopyButton text={enrollment.secret} label={t.account.copySecret} />
            </p>
          </div>
          <Field label={t.account.factorCode} hint={t.account.factorCodeHint}>
            {(ties) => (
              <input
                {...ties}
                className="input"
                value={code}
                inputMode="numeric"
                autoComplete="one-time-code"
                spellCheck={false}
                // biome-ignore lint/a11y/noAutofocus: the field appears because it has to be filled in now
                autoFocus
                onChange={(event) => setCode(event.target.value)}
              />
            )}
          </Field>
        </div>
      </div>
      {confirm.isError && <ErrorNote error={confirm.error} />}
      <div className={form.actions}>
        <button type="submit" className="button" disabled={code.trim() === "" || confirm.isPending}>
          {t.account.factorConfirm}
        </button>
        <button type="button" className="button quiet" onClick={onCancel}>
          {t.cancel}
        </button>
      </div>
    </form>
  );
}
