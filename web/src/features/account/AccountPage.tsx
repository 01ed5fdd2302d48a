import { useSession } from "../../api/session";
import type { Account } from "../../api/types";
import form from "../../components/Form.module.css";
import { Page, Section } from "../../components/Page";
import { useI18n } from "../../i18n";
import { KeyList } from "../access/KeyList";
import { SessionList } from "../access/SessionList";
import styles from "./AccountPage.module.css";
import { PasswordForm } from "./PasswordForm";
import { SecondFactor } from "./SecondFactor";

/** What one may do oneself about how one signs in. */
export function AccountPage() {
  const { t } = useI18n();
  const session = useSession();
  if (session.state !== "in") return null;
  const { account } = session;
  return (
    <Page title={t.account.title} lead={t.account.lead}>
      <WhoIAm account={account} />
      {account.role !== null && account.permissions.includes("account") ? (
        <>
          <PasswordForm name={account.name} />
          <SecondFactor account={account} />
          <SessionList owner={null} lead={t.account.sessionsLead} />
          <KeyList owner={null} role={account.role} mayMake lead={t.account.keysLead} />
        </>
      ) : (
        <p className={form.notice}>
          {account.role === null ? t.account.noAccount : t.account.withKey}
        </p>
      )}
    </Page>
  );
}

function WhoIAm({ account }: { account: Account }) {
  const { t } = useI18n();
  const { role } = account;
  const facts = [
    [t.account.name, account.display_name],
    // The admin API key is nobody who signs in.
    role && [t.account.login, account.name],
    [t.account.role, t.account.roles[role ?? "operator"]],
    [t.account.may, t.account.duties[role ?? "operator"]],
    role && [t.account.groups, account.groups.join(", ") || t.account.noGroups],
  ].filter((fact) => fact !== null);
  return (
    <Section title={t.account.who}>
      <dl className={styles.facts}>
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </Section>
  );
}
