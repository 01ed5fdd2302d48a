import { useState } from "react";
import { Link } from "react-router";
import { useUsers } from "../../api/identity";
import { useMay } from "../../api/session";
import type { User, UserKind } from "../../api/types";
import { ErrorNote } from "../../components/ErrorNote";
import { Icon } from "../../components/Icon";
import { KuraMark } from "../../components/KuraMark";
import { Page } from "../../components/Page";
import rows from "../../components/Rows.module.css";
import { useI18n } from "../../i18n";
import { formatTime } from "../../i18n/time";
import { findUsers } from "./find";
import { NewUser } from "./NewUser";
import { PeopleTabs } from "./PeopleTabs";
import { paths } from "./paths";
import { SearchBar } from "./SearchBar";
import { UserBadges } from "./UserBadges";

/** How many are shown before more are asked for. */
const SHOWN = 50;

/** Everyone who may use kura of one kind, to search, to open and to add to. */
export function UserListPage({ kind }: { kind: UserKind }) {
  const { language, t } = useI18n();
  const { users, isPending, isComplete, error, refetch } = useUsers();
  const mayManage = useMay("manage_identity");
  const [text, setText] = useState("");
  const [shown, setShown] = useState(SHOWN);
  const [adding, setAdding] = useState(false);
  const words = t.people.of[kind];
  const all = users.filter((user) => user.kind === kind);
  const found = findUsers(all, text, language);
  const isThere = !isPending && (error === null || users.length > 0);
  return (
    <Page title={t.people.title} lead={t.people.lead}>
      <PeopleTabs />
      {error !== null && <ErrorNote error={error} onRetry={() => void refetch()} />}
      {isPending && <p className={rows.note}>{t.loading}</p>}
      {isThere && (
        <>
          <SearchBar
            label={words.search}
            text={text}
            onText={(next) => {
              setText(next);
              setShown(SHOWN);
            }}
            count={isComplete ? words.count(found.length) : t.people.loadingMore(all.length)}
            action={
              mayManage &&
              !adding && (
                <button type="button" className="button" onClick={() => setAdding(true)}>
                  <Icon name="plus" />
                  {words.add}
                </button>
              )
            }
          />
          {adding && <NewUser kind={kind} onClose={() => setAdding(false)} />}
          <ul className={rows.rows} aria-label={words.list}>
            {found.slice(0, shown).map((user) => (
              <li key={user.id}>
                <UserRow user={user} />
              </li>
            ))}
          </ul>
          {isComplete && found.length === 0 && (
            <div className={rows.empty}>
              {all.length === 0 && <KuraMark />}
              <h2>{all.length === 0 ? words.none : t.people.notFound}</h2>
              <p>{all.length === 0 ? words.noneText : t.people.notFoundText}</p>
            </div>
          )}
          {found.length > shown && (
            <button
              type="button"
              className={`button quiet ${rows.more}`}
              onClick={() => setShown(shown + SHOWN)}
            >
              {t.more}
            </button>
          )}
        </>
      )}
    </Page>
  );
}

function UserRow({ user }: { user: User }) {
  const { language, t } = useI18n();
  const { name, display_name, kind, groups, email, last_sign_in_at } = user;
  const seen = last_sign_in_at
    ? t.people.lastSeen(formatTime(last_sign_in_at, language))
    : t.people.neverSeen;
  const facts = [
    email,
    groups.length > 0 ? groups.join(", ") : null,
    kind === "person" ? seen : null,
  ];
  return (
    <>
      <div className={rows.what}>
        <h2 className={rows.name}>
          <Link to={paths.user(name)}>{display_name}</Link>
          {display_name !== name && <span className={rows.login}>{name}</span>}
        </h2>
        <p className={rows.facts}>{facts.filter(Boolean).join(" · ")}</p>
      </div>
      <UserBadges user={user} />
    </>
  );
}
