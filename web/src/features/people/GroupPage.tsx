import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { api } from "../../api/client";
import { groupQuery, identityKeys, setGroupMember, useChange, useUsers } from "../../api/identity";
import { useMay } from "../../api/session";
import type { Group } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import { Field } from "../../components/Form";
import form from "../../components/Form.module.css";
import { Icon } from "../../components/Icon";
import { Page, Section } from "../../components/Page";
import rows from "../../components/Rows.module.css";
import { useI18n } from "../../i18n";
import { paths } from "./paths";
import { isManaged, managerOf, SourceBadge } from "./UserBadges";

/** One group: who belongs to it. */
export function GroupPage() {
  const { t } = useI18n();
  const name = useParams().name ?? "";
  const group = useQuery(groupQuery(name));
  const mayManage = useMay("manage_identity");
  return (
    <Page
      title={group.data?.name ?? name}
      lead={group.data && <Summary group={group.data} />}
      above={{ to: paths.groups, label: t.people.groups }}
    >
      {group.isPending && <p className={rows.note}>{t.loading}</p>}
      {group.isError && <ErrorNote error={group.error} onRetry={() => void group.refetch()} />}
      {group.data && (
        <>
          {isManaged(group.data.source) && (
            <p className={form.notice}>{t.groups.managed(managerOf(group.data.source, t))}</p>
          )}
          <Members group={group.data} mayManage={mayManage} />
          {mayManage && <Deletion group={group.data} />}
        </>
      )}
    </Page>
  );
}

function Summary({ group }: { group: Group }) {
  return (
    <>
      {group.description && <p>{group.description}</p>}
      <p className={rows.badges}>
        <SourceBadge source={group.source} />
      </p>
    </>
  );
}

function Members({ group, mayManage }: { group: Group; mayManage: boolean }) {
  const { t } = useI18n();
  const listId = useId();
  const { users } = useUsers();
  const [typed, setTyped] = useState("");
  const change = useChange(
    ({ user, belongs }: { user: string; belongs: boolean }) =>
      setGroupMember(group.name, user, belongs),
    identityKeys.groups,
    identityKeys.users,
    ["user"],
  );
  const nameOf = (login: string) => users.find(({ name }) => name === login)?.display_name ?? login;
  const present = new Set(group.members.map(({ name }) => name));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    const user = typed.trim();
    if (user === "" || change.isPending) return;
    change.mutate({ user, belongs: true }, { onSuccess: () => setTyped("") });
  };
  return (
    <Section title={t.groups.membersTitle(group.members.length)}>
      {mayManage && (
        <form className={form.line} onSubmit={submit}>
          <Field
            label={t.groups.addMember}
            hint={t.groups.addMemberHint}
            beside={
              <button
                type="submit"
                className="button quiet"
                disabled={typed.trim() === "" || change.isPending}
              >
                {t.people.add}
              </button>
            }
          >
            {(ties) => (
              <input
                {...ties}
                className="input"
                list={listId}
                value={typed}
                autoComplete="off"
                autoCapitalize="off"
                spellCheck={false}
                onChange={(event) => setTyped(event.target.value)}
              />
            )}
          </Field>
          <datalist id={listId}>
            {users
              .filter(({ name }) => !present.has(name))
              .map(({ name, display_name }) => (
                <option key={name} value={name}>
                  {display_name}
                </option>
              ))}
          </datalist>
        </form>
      )}
      {change.isError && <ErrorNote error={change.error} />}
      {group.members.length === 0 && <p className={rows.note}>{t.groups.empty}</p>}
      <ul className={rows.rows} aria-label={t.groups.membersList}>
        {group.members.map(({ id, name }) => (
          <li key={id}>
            <div className={rows.what}>
              <h3 className={rows.name}>
                <Link to={paths.user(name)}>{nameOf(name)}</Link>
                {nameOf(name) !== name && <span className={rows.login}>{name}</span>}
              </h3>
            </div>
            {mayManage && (
              <button
                type="button"
                className="icon-button"
                aria-label={t.groups.takeOut(nameOf(name))}
                title={t.groups.takeOut(nameOf(name))}
                disabled={change.isPending}
                onClick={() => change.mutate({ user: name, belongs: false })}
              >
                <Icon name="close" />
              </button>
            )}
          </li>
        ))}
      </ul>
    </Section>
  );
}

function Deletion({ group }: { group: Group }) {
  const { t } = useI18n();
  const client = useQueryClient();
  const navigate = useNavigate();
  const [asking, setAsking] = useState(false);
  const remove = useChange(
    async (name: string) => {
      await api.DELETE("/api/v1/groups/{name}", { params: { path: { name } } });
      // The page of what is gone would ask for it once more.
      await navigate(paths.groups);
      client.removeQueries({ queryKey: identityKeys.group(name) });
    },
    identityKeys.groups,
    identityKeys.users,
    ["user"],
  );
  return (
    <Section title={t.groups.delete} lead={t.groups.deleteLead}>
      {remove.isError && <ErrorNote error={remove.error} />}
      <div className={form.line}>
        <button
          type="button"
          className="button danger"
          disabled={remove.isPending}
          onClick={() => setAsking(true)}
        >
          {t.groups.delete}
        </button>
      </div>
      {asking && (
        <ConfirmDialog
          title={t.groups.deleteTitle(group.name)}
          text={t.groups.deleteText(group.members.length)}
          action={t.people.delete}
          onConfirm={() => remove.mutate(group.name)}
          onClose={() => setAsking(false)}
        />
      )}
    </Section>
  );
}
