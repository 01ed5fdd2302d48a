import type { User } from "../../api/types";
import { Badge } from "../../components/Rows";
import rows from "../../components/Rows.module.css";
import { type Messages, useI18n } from "../../i18n";

/** The source of what a directory has made by SCIM; an identity provider is called by its issuer. */
const DIRECTORY = "scim";

/** What is to be seen of a user at a glance. */
export function UserBadges({ user }: { user: User }) {
  const { t } = useI18n();
  return (
    <p className={rows.badges}>
      {!user.active && <Badge tone="seal">{t.people.inactive}</Badge>}
      <SourceBadge source={user.source} />
      {user.has_totp && <Badge>{t.people.hasFactor}</Badge>}
      <Badge tone="accent">{t.account.roles[user.role]}</Badge>
    </p>
  );
}

/** Who says who someone is, or made a group, if that was not kura. */
export function SourceBadge({ source }: { source: string }) {
  const { t } = useI18n();
  if (!isManaged(source)) return null;
  return <Badge title={source}>{source === DIRECTORY ? t.people.directory : hostOf(source)}</Badge>;
}

export function isManaged(source: string): boolean {
  return source !== "local";
}

/** Who manages someone, in a sentence. */
export function managerOf(source: string, t: Messages): string {
  return source === DIRECTORY ? t.people.aDirectory : hostOf(source);
}

function hostOf(issuer: string): string {
  return issuer.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
}
