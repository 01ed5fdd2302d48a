import { useState } from "react";
import { useChange } from "../../api/change";
import { api, body } from "../../api/client";
import { ofCode } from "../../api/errors";
import { shownOf } from "../../api/identity";
import { amendAccount } from "../../api/session";
import type { Account, TotpEnrollment } from "../../api/types";
import { CopyButton } from "../../components/CopyButton";
import { Form, TextField } from "../../components/Form";
import form from "../../components/Form.module.css";
import { Section } from "../../components/Page";
import { Badge } from "../../components/Rows";
import { useI18n } from "../../i18n";
import { ShownOnce } from "../access/ShownOnce";
import { OwnPassword } from "./OwnPassword";
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
  const rest = () => setStep({ at: "rest" });
  return (
    <Section
      title={t.account.factor}
      lead={t.account.factorLead}
      action={
        <Badge tone={has ? "accent" : undefined}>
          {has ? t.account.factorOn : t.account.factorOff}
        </Badge>
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
          account={account}
          onEnroll={(enrollment) => setStep({ at: "confirm", enrollment })}
          onRemoved={rest}
          onCancel={rest}
        />
      )}
      {step.at === "confirm" && (
        <Confirm
          account={account}
          enrollment={step.enrollment}
          onCodes={(made) => {
            setCodes(made);
            rest();
          }}
          onCancel={rest}
        />
      )}
    </Section>
  );
}

type ProveProps = {
  account: Account;
  onEnroll: (enrollment: TotpEnrollment) => void;
  onRemoved: () => void;
  onCancel: () => void;
};

/** Asks for the password: whoever sits at an open session may not know it. */
function Prove({ account, onEnroll, onRemoved, onCancel }: ProveProps) {
  const { t } = useI18n();
  const [password, setPassword] = useState("");
  const change = useChange(...shownOf(account.name));
  const wrong = ofCode(change.error, "invalid_credentials");
  const removes = account.has_totp;
  const remove = async () => {
    await api.POST("/api/v1/session/totp/remove", { body: { password } });
    amendAccount((present) => ({ ...present, has_totp: false }));
    onRemoved();
  };
  const enroll = async () =>
    onEnroll(body(await api.POST("/api/v1/session/totp", { body: { password } })));
  return (
    <Form
      action={removes ? t.account.factorRemove : t.account.factorNext}
      isDanger={removes}
      isComplete={password !== ""}
      isPending={change.isPending}
      error={wrong ? null : change.error}
      onSubmit={() => change.run(removes ? remove : enroll)}
      onCancel={onCancel}
    >
      {removes && <p className={form.notice}>{t.account.factorRemoveText}</p>}
      <OwnPassword
        label={t.account.currentPassword}
        error={wrong}
        value={password}
        onChange={setPassword}
        autoComplete="current-password"
        isFirst
      />
    </Form>
  );
}

type ConfirmProps = {
  account: Account;
  enrollment: TotpEnrollment;
  onCodes: (codes: string[]) => void;
  onCancel: () => void;
};

/** Shows what the app needs and asks for the code that it makes of it. */
function Confirm({ account, enrollment, onCodes, onCancel }: ConfirmProps) {
  const { t } = useI18n();
  const [code, setCode] = useState("");
  const change = useChange(...shownOf(account.name));
  const wrong = ofCode(change.error, "invalid_request");
  const confirm = () =>
    change.run(async () => {
      const given = { code: code.trim() };
      const reply = await api.POST("/api/v1/session/totp/confirm", { body: given });
      amendAccount((present) => ({ ...present, has_totp: true }));
      onCodes(body(reply).recovery_codes);
    });
  return (
    <Form
      label={t.account.factorSetUp}
      action={t.account.factorConfirm}
      isComplete={code.trim() !== ""}
      isPending={change.isPending}
      error={wrong ? null : change.error}
      onSubmit={confirm}
      onCancel={onCancel}
    >
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
          <TextField
            label={t.account.factorCode}
            hint={t.account.factorCodeHint}
            error={wrong}
            value={code}
            onChange={setCode}
            inputMode="numeric"
            autoComplete="one-time-code"
            isName
            isFirst
          />
        </div>
      </div>
    </Form>
  );
}
