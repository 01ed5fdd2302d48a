import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useId, useState } from "react";
import { useParams } from "react-router";
import {
  groupsQuery,
  identityKeys,
  membersQuery,
  setCollectionMember,
  useChange,
  useUsers,
} from "../../api/identity";
import { keys } from "../../api/queries";
import { useMay } from "../../api/session";
import type { CollectionMember, MemberRole } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import { Field } from "../../components/Form";
import form from "../../components/Form.module.css";
import { Icon } from "../../components/Icon";
import { Page, Section } from "../../components/Page";
import rows from "../../components/Rows.module.css";
import { type Messages, useI18n } from "../../i18n";
import { memberName, type Whom, whoIs } from "./members";

type Change = { group: string; role: MemberRole | null };

/** Whom a collection is for, and what they may do there. */
export function MembersPage() {
  const { t } = useI18n();
  const collection = useParams().collection ?? "";
  const list = useQuery(membersQuery(collection));
  const [leaving, setLeaving] = useState<CollectionMember | null>(null);
  const change = useChange(
    ({ group, role }: Change) => setCollectionMember(collection, group, role),
    identityKeys.members(collection),
    keys.collections,
  );
  const members = [...(list.data ?? [])].sort(byWhom);
  return (
    <Page
      title={t.members.of(collection)}
      lead={t.members.lead}
      above={{ to: "/documents", label: t.documents.title }}
    >
      {list.isPending && <p className={rows.note}>{t.loading}</p>}
      {list.isError && <ErrorNote error={list.error} onRetry={() => void list.refetch()} />}
      {list.data && (
        <Section title={t.members.title}>
          <NewMember
            busy={change.isPending}
            onAdd={(given, done) => change.mutate(given, { onSuccess: done })}
          />
          {change.isError && <ErrorNote error={change.error} />}
          {members.length === 0 && <p className={rows.note}>{t.members.none}</p>}
          <ul className={rows.rows} aria-label={t.members.title}>
            {members.map((member) => (
              <li key={member.group}>
                <div className={rows.what}>
                  <h3 className={rows.name}>{textOf(member.group, t)}</h3>
                  <p className={rows.facts}>{t.members.kinds[whoIs(member.group).whom]}</p>
                </div>
                <select
                  className="select"
                  aria-label={t.members.roleOf(textOf(member.group, t))}
                  value={member.role}
                  disabled={change.isPending}
                  onChange={(event) =>
                    change.mutate({
                      group: member.group,
                      role: event.target.value as MemberRole,
                    })
                  }
                >
                  <option value="reader">{t.members.roles.reader}</option>
                  <option value="editor">{t.members.roles.editor}</option>
                </select>
                <button
                  type="button"
                  className="icon-button"
                  aria-label={t.members.takeOut(textOf(member.group, t))}
                  title={t.members.takeOut(textOf(member.group, t))}
                  disabled={change.isPending}
                  onClick={() => setLeaving(member)}
                >
                  <Icon name="close" />
                </button>
              </li>
            ))}
          </ul>
        </Section>
      )}
      {leaving && (
        <ConfirmDialog
          title={t.members.takeOutTitle(textOf(leaving.group, t))}
          text={members.length === 1 ? t.members.takeOutLast : t.members.takeOutText}
          action={t.members.takeOutAction}
          onConfirm={() => change.mutate({ group: leaving.group, role: null })}
          onClose={() => setLeaving(null)}
        />
      )}
    </Page>
  );
}

type NewProps = { busy: boolean; onAdd: (given: Change, done: () => void) => void };

function NewMember({ busy, onAdd }: NewProps) {
  const { t } = useI18n();
  const listId = useId();
  // Editors manage members without seeing who there is: they write the name themselves.
  const maySee = useMay("read_settings");
  const { users } = useUsers(maySee);
  const groups = useQuery({ ...groupsQuery, enabled: maySee });
  const [whom, setWhom] = useState<Whom>("group");
  const [typed, setTyped] = useState("");
  const [role, setRole] = useState<MemberRole>("reader");
  const group = memberName(whom, typed);
  const known =
    whom === "person"
      ? users.map(({ name, display_name }) => ({ name, text: display_name }))
      : (groups.data ?? []).map(({ name, description }) => ({ name, text: description }));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (group !== "" && !busy) onAdd({ group, role }, () => setTyped(""));
  };
  return (
    <form className={form.line} onSubmit={submit} aria-label={t.members.add}>
      <Field label={t.members.whom}>
        {(ties) => (
          <select
            {...ties}
            className="select"
            value={whom}
            onChange={(event) => setWhom(event.target.value as Whom)}
          >
            <option value="group">{t.members.kinds.group}</option>
            <option value="person">{t.members.kinds.person}</option>
            <option value="everyone">{t.members.everyone}</option>
          </select>
        )}
      </Field>
      {whom !== "everyone" && (
        <Field label={whom === "group" ? t.groups.name : t.account.login}>
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
      )}
      <datalist id={listId}>
        {known.map(({ name, text }) => (
          <option key={name} value={name}>
            {text}
          </option>
        ))}
      </datalist>
      <Field label={t.members.may}>
        {(ties) => (
          <select
            {...ties}
            className="select"
            value={role}
            onChange={(event) => setRole(event.target.value as MemberRole)}
          >
            <option value="reader">{t.members.roles.reader}</option>
            <option value="editor">{t.members.roles.editor}</option>
          </select>
        )}
      </Field>
      <button type="submit" className="button quiet" disabled={group === "" || busy}>
        {t.people.add}
      </button>
    </form>
  );
}

function textOf(group: string, t: Messages): string {
  const { whom, name } = whoIs(group);
  return whom === "everyone" ? t.members.everyone : name;
}

const ORDER: Whom[] = ["everyone", "group", "person"];

function byWhom(a: CollectionMember, b: CollectionMember): number {
  const order = (member: CollectionMember) => ORDER.indexOf(whoIs(member.group).whom);
  return order(a) - order(b) || a.group.localeCompare(b.group);
}
