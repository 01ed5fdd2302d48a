import type { User } from "../../api/types";
import rows from "../../components/Rows.module.css";
import { type Messages, useI18n } from "../../i18n";

/** The source of what a directory has made by SCIM; an identity provider is called by its issuer. */
const DIRECTORY = "scim";

/** What is to be seen of a user at a glance. */
export function UserBadges({ user }: { user: User }) {
  const { t } = useI18n();
  return (
    <p className={rows.badges}>
      {!user.active && (
        <span className={rows.badge} data-tone="seal">
          {t.people.inactive}
        </span>
      )}
      <SourceBadge source={user.source} />
      {user.has_totp && <span className={rows.badge}>{t.people.hasFactor}</span>}
      <span className={rows.badge} data-tone="accent">
        {t.account.roles[user.role]}
      </span>
    </p>
  );
}

/** Who says who someone is, or made a group, if that was not kura. */
export function SourceBadge({ source }: { source: string }) {
  const { t } = useI18n();
  if (!isManaged(source)) return null;
  return (
    <span className={rows.badge} title={source}>
      {source === DIRECTORY ? t.people.directory : hostOf(source)}
    </span>
  );
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
