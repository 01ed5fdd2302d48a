import { useQuery } from "@tanstack/react-query";
import { Link, useParams } from "react-router";
import { userQuery } from "../../api/identity";
import { useAccount, useMay } from "../../api/session";
import type { User } from "../../api/types";
import form from "../../components/Form.module.css";
import { Loaded } from "../../components/Loaded";
import { Page } from "../../components/Page";
import { Facts } from "../../components/Rows";
import { useI18n } from "../../i18n";
import { formatMoment } from "../../i18n/time";
import { KeyList } from "../access/KeyList";
import { SessionList } from "../access/SessionList";
import { Leaving } from "./Leaving";
import { Profile } from "./Profile";
import { paths } from "./paths";
import { SignInHelp } from "./SignInHelp";
import { isManaged, managerOf, UserBadges } from "./UserBadges";
import { UserGroups } from "./UserGroups";

/** One person or service: what they may do, how they get in, and what can be done about it. */
export function UserPage() {
  const { t } = useI18n();
  const name = useParams().name ?? "";
  const user = useQuery(userQuery(name));
  return (
    <Page
      title={user.data?.display_name ?? name}
      lead={user.data && <Summary user={user.data} />}
      above={
        user.data?.kind === "service"
          ? { to: paths.services, label: t.people.services }
          : { to: paths.people, label: t.people.people }
      }
    >
      <Loaded query={user}>{(user) => <Details key={user.id} user={user} />}</Loaded>
    </Page>
  );
}

function Summary({ user }: { user: User }) {
  const { language, t } = useI18n();
  const at = (time: string) => formatMoment(time, language);
  const seen = user.last_sign_in_at
    ? t.people.lastSeen(at(user.last_sign_in_at))
    : t.people.neverSeen;
  return (
    <>
      <Facts
        of={[
          user.name,
          user.email,
          t.people.addedAt(at(user.created_at)),
          user.kind === "person" && seen,
        ]}
      />
      <UserBadges user={user} />
    </>
  );
}

function Details({ user }: { user: User }) {
  const { t } = useI18n();
  const mayManage = useMay("manage_identity");
  const mayAll = useMay("operate");
  const account = useAccount();
  const isSelf = account.id === user.id;
  return (
    <>
      {isManaged(user.source) && (
        <p className={form.notice}>{t.people.managedUser(managerOf(user.source, t))}</p>
      )}
      {isSelf && (
        <p className={form.notice}>
          {t.people.thatIsYou} <Link to="/account">{t.account.title}</Link>
        </p>
      )}
      <Profile user={user} isSelf={isSelf} mayManage={mayManage} />
      <UserGroups user={user} mayManage={mayManage} />
      {mayManage && !isSelf && (
        <>
          {user.kind === "person" && (
            <>
              <SignInHelp user={user} />
              <SessionList owner={user.name} lead={t.people.sessionsLead} />
            </>
          )}
          <KeyList
            owner={user.name}
            role={user.role}
            mayMake={user.kind === "service" || mayAll}
            lead={user.kind === "service" ? t.people.serviceKeysLead : t.people.keysLead}
          />
          <Leaving user={user} />
        </>
      )}
    </>
  );
}
