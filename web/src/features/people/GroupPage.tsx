import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Fragment, useState } from "react";
import { Link, useNavigate, useParams } from "react-router";
import { useChange } from "../../api/change";
import { ofCode } from "../../api/errors";
import {
  deleteGroup,
  groupQuery,
  identityKeys,
  setGroupMember,
  shownOfGroups,
  useUsers,
} from "../../api/identity";
import { useMay } from "../../api/session";
import type { Group } from "../../api/types";
import { AskFirst } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import { submits, TextField } from "../../components/Form";
import form from "../../components/Form.module.css";
import { IconButton } from "../../components/IconButton";
import { LoadError, Loaded } from "../../components/Loaded";
import { Page, Section } from "../../components/Page";
import { Row, Rows } from "../../components/Rows";
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
      <Loaded query={group}>
        {(group) => (
          <Fragment key={group.name}>
            {isManaged(group.source) && (
              <p className={form.notice}>{t.groups.managed(managerOf(group.source, t))}</p>
            )}
            <Members group={group} mayManage={mayManage} />
            {mayManage && <Deletion group={group} />}
          </Fragment>
        )}
      </Loaded>
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
  const users = useUsers();
  const [typed, setTyped] = useState("");
  const change = useChange(...shownOfGroups);
  const unknown = ofCode(change.error, "unknown_user");
  const others = users.data?.filter(({ id }) => !group.members.some((one) => one.id === id)) ?? [];
  const shownName = (login: string) =>
    users.data?.find(({ name }) => name === login)?.display_name ?? login;
  const add = () =>
    change.run(async () => {
      await setGroupMember(group.name, typed.trim(), true);
      setTyped("");
    });
  const remove = (login: string) => change.run(() => setGroupMember(group.name, login, false));
  return (
    <Section title={t.groups.membersTitle(group.members.length)}>
      <LoadError query={users} />
      {mayManage && (
        <form className={form.line} onSubmit={submits(() => typed.trim() !== "" && add())}>
          <TextField
            label={t.groups.addMember}
            hint={t.groups.addMemberHint}
            error={unknown}
            value={typed}
            onChange={setTyped}
            isName
            suggestions={others.map((user) => ({ value: user.name, label: user.display_name }))}
            beside={
              <button
                type="submit"
                className="button quiet"
                disabled={typed.trim() === "" || change.isPending}
              >
                {t.people.add}
              </button>
            }
          />
        </form>
      )}
      {change.error !== null && !unknown && <ErrorNote error={change.error} />}
      <Rows label={t.groups.membersList} none={t.groups.empty}>
        {group.members.map(({ id, name }) => (
          <Row
            key={id}
            name={<Link to={paths.user(name)}>{shownName(name)}</Link>}
            login={shownName(name) === name ? undefined : name}
          >
            {mayManage && (
              <IconButton
                icon="close"
                label={t.groups.takeOut(shownName(name))}
                disabled={change.isPending}
                onClick={() => remove(name)}
              />
            )}
          </Row>
        ))}
      </Rows>
    </Section>
  );
}

function Deletion({ group }: { group: Group }) {
  const { t } = useI18n();
  const client = useQueryClient();
  const navigate = useNavigate();
  const change = useChange(...shownOfGroups);
  const remove = () =>
    change.run(async () => {
      await deleteGroup(group);
      // The page of what is gone would ask for it once more.
      await navigate(paths.groups);
      client.removeQueries({ queryKey: identityKeys.group(group.name) });
    });
  return (
    <Section title={t.groups.delete} lead={t.groups.deleteLead}>
      {change.error !== null && <ErrorNote error={change.error} />}
      <div className={form.line}>
        <AskFirst
          title={t.groups.deleteTitle(group.name)}
          text={t.groups.deleteText(group.members.length)}
          action={t.people.delete}
          onConfirm={remove}
        >
          {(ask) => (
            <button
              type="button"
              className="button danger"
              disabled={change.isPending}
              onClick={ask}
            >
              {t.groups.delete}
            </button>
          )}
        </AskFirst>
      </div>
    </Section>
  );
}
