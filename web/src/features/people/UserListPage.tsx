import { Link } from "react-router";
import { useUsers } from "../../api/identity";
import type { User, UserKind } from "../../api/types";
import { Loaded } from "../../components/Loaded";
import { Page } from "../../components/Page";
import { Facts, Row } from "../../components/Rows";
import { useI18n } from "../../i18n";
import { formatTime } from "../../i18n/time";
import { findUsers } from "./find";
import { NewUser } from "./NewUser";
import { PeopleTabs } from "./PeopleTabs";
import { paths } from "./paths";
import { SearchList } from "./SearchList";
import { UserBadges } from "./UserBadges";

/** Everyone who may use kura of one kind. */
export function UserListPage({ kind }: { kind: UserKind }) {
  const { language, t } = useI18n();
  const users = useUsers();
  return (
    <Page title={t.people.title} lead={t.people.lead}>
      <PeopleTabs />
      <Loaded query={users}>
        {(all) => (
          <SearchList
            words={t.people.of[kind]}
            all={all.filter((user) => user.kind === kind)}
            isComplete={users.isComplete}
            find={(some, text) => findUsers(some, text, language)}
            row={(user) => <UserRow key={user.id} user={user} />}
            form={(onClose) => <NewUser kind={kind} onClose={onClose} />}
          />
        )}
      </Loaded>
    </Page>
  );
}

function UserRow({ user }: { user: User }) {
  const { language, t } = useI18n();
  const { name, display_name, kind, groups, email, last_sign_in_at } = user;
  const seen = last_sign_in_at
    ? t.people.lastSeen(formatTime(last_sign_in_at, language))
    : t.people.neverSeen;
  return (
    <Row
      heading="h2"
      name={<Link to={paths.user(name)}>{display_name}</Link>}
      login={display_name === name ? undefined : name}
      facts={<Facts of={[email, groups.join(", "), kind === "person" && seen]} />}
    >
      <UserBadges user={user} />
    </Row>
  );
}
