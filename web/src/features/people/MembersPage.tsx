import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useParams } from "react-router";
import { useChange } from "../../api/change";
import {
  groupsQuery,
  identityKeys,
  membersQuery,
  setCollectionMember,
  useUsers,
} from "../../api/identity";
import { keys } from "../../api/queries";
import { useMay } from "../../api/session";
import type { CollectionMember, MemberRole } from "../../api/types";
import { AskFirst } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import { Options, SelectField, submits, TextField } from "../../components/Form";
import form from "../../components/Form.module.css";
import { IconButton } from "../../components/IconButton";
import { LoadError, Loaded } from "../../components/Loaded";
import { Page, Section } from "../../components/Page";
import { Facts, Row, Rows } from "../../components/Rows";
import { type Messages, useI18n } from "../../i18n";
import { memberName, type Whom, whoIs } from "./members";

/** Whom a collection is for, and what they may do there. */
export function MembersPage() {
  const { t } = useI18n();
  const collection = useParams().collection ?? "";
  const members = useQuery(membersQuery(collection));
  return (
    <Page
      title={t.members.of(collection)}
      lead={t.members.lead}
      above={{ to: "/documents", label: t.documents.title }}
    >
      <Loaded query={members}>
        {(members) => <Members key={collection} collection={collection} members={members} />}
      </Loaded>
    </Page>
  );
}

type MembersProps = { collection: string; members: CollectionMember[] };

function Members({ collection, members }: MembersProps) {
  const { t } = useI18n();
  const change = useChange(identityKeys.members(collection), keys.collections);
  const set = (group: string, role: MemberRole | null) =>
    change.run(() => setCollectionMember(collection, group, role));
  return (
    <Section title={t.members.title}>
      <NewMember isBusy={change.isPending} onAdd={set} />
      {change.error !== null && <ErrorNote error={change.error} />}
      <Rows label={t.members.title} none={t.members.none}>
        {[...members].sort(byWhom).map(({ group, role }) => {
          const name = textOf(group, t);
          return (
            <Row
              key={group}
              name={name}
              facts={<Facts of={[t.members.kinds[whoIs(group).whom]]} />}
            >
              <select
                className="select"
                aria-label={t.members.roleOf(name)}
                value={role}
                disabled={change.isPending}
                onChange={(event) => set(group, event.target.value as MemberRole)}
              >
                <Options of={rolesIn(t)} />
              </select>
              <AskFirst
                title={t.members.takeOutTitle(name)}
                text={members.length === 1 ? t.members.takeOutLast : t.members.takeOutText}
                action={t.members.takeOutAction}
                onConfirm={() => set(group, null)}
              >
                {(ask) => (
                  <IconButton
                    icon="close"
                    label={t.members.takeOut(name)}
                    disabled={change.isPending}
                    onClick={ask}
                  />
                )}
              </AskFirst>
            </Row>
          );
        })}
      </Rows>
    </Section>
  );
}

type NewProps = {
  isBusy: boolean;
  onAdd: (group: string, role: MemberRole) => Promise<boolean>;
};

function NewMember({ isBusy, onAdd }: NewProps) {
  const { t } = useI18n();
  // Editors manage members without seeing who there is: they write the name themselves.
  const maySee = useMay("read_settings");
  const users = useUsers(maySee);
  const groups = useQuery({ ...groupsQuery, enabled: maySee });
  const [whom, setWhom] = useState<Whom>("group");
  const [typed, setTyped] = useState("");
  const [role, setRole] = useState<MemberRole>("reader");
  const group = memberName(whom, typed);
  const isReady = group !== "" && !isBusy;
  const known =
    whom === "person"
      ? users.data?.map(({ name, display_name }) => ({ value: name, label: display_name }))
      : groups.data?.map(({ name, description }) => ({ value: name, label: description }));
  const add = async () => {
    if (await onAdd(group, role)) setTyped("");
  };
  return (
    <>
      <LoadError query={whom === "person" ? users : groups} />
      <form
        className={form.line}
        aria-label={t.members.add}
        onSubmit={submits(() => isReady && add())}
      >
        <SelectField
          label={t.members.whom}
          options={[
            { value: "group", label: t.members.kinds.group },
            { value: "person", label: t.members.kinds.person },
            { value: "everyone", label: t.members.everyone },
          ]}
          value={whom}
          onChange={setWhom}
        />
        {whom !== "everyone" && (
          <TextField
            label={whom === "group" ? t.groups.name : t.account.login}
            value={typed}
            onChange={setTyped}
            isName
            suggestions={known ?? []}
          />
        )}
        <SelectField label={t.members.may} options={rolesIn(t)} value={role} onChange={setRole} />
        <button type="submit" className="button quiet" disabled={!isReady}>
          {t.people.add}
        </button>
      </form>
    </>
  );
}

function rolesIn(t: Messages): { value: MemberRole; label: string }[] {
  return [
    { value: "reader", label: t.members.roles.reader },
    { value: "editor", label: t.members.roles.editor },
  ];
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
