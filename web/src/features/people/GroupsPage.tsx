import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useNavigate } from "react-router";
import { useChange } from "../../api/change";
import { api, body } from "../../api/client";
import { ofCode } from "../../api/errors";
import { groupsQuery, identityKeys } from "../../api/identity";
import type { Group } from "../../api/types";
import { Form, TextField } from "../../components/Form";
import form from "../../components/Form.module.css";
import { Loaded } from "../../components/Loaded";
import { Page } from "../../components/Page";
import { Facts, Row } from "../../components/Rows";
import rows from "../../components/Rows.module.css";
import { useI18n } from "../../i18n";
import { findGroups } from "./find";
import { PeopleTabs } from "./PeopleTabs";
import { paths } from "./paths";
import { SearchList } from "./SearchList";
import { SourceBadge } from "./UserBadges";

/** The groups that collections and documents name as their readers. */
export function GroupsPage() {
  const { t } = useI18n();
  const groups = useQuery(groupsQuery);
  return (
    <Page title={t.people.title} lead={t.people.lead}>
      <PeopleTabs />
      <Loaded query={groups}>
        {(all) => (
          <SearchList
            words={{ ...t.groups, list: t.people.groups }}
            all={all}
            isComplete
            find={findGroups}
            row={(group) => <GroupRow key={group.name} group={group} />}
            form={(onClose) => <NewGroup onCancel={onClose} />}
          />
        )}
      </Loaded>
    </Page>
  );
}

function GroupRow({ group }: { group: Group }) {
  const { t } = useI18n();
  return (
    <Row
      heading="h2"
      name={<Link to={paths.group(group.name)}>{group.name}</Link>}
      facts={<Facts of={[group.description, t.groups.members(group.members.length)]} />}
    >
      <p className={rows.badges}>
        <SourceBadge source={group.source} />
      </p>
    </Row>
  );
}

function NewGroup({ onCancel }: { onCancel: () => void }) {
  const { t } = useI18n();
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const change = useChange(identityKeys.groups);
  const taken = ofCode(change.error, "group_exists");
  const create = () =>
    change.run(async () => {
      const given = { name: name.trim(), description: description.trim() };
      const group = body(await api.POST("/api/v1/groups", { body: given }));
      // To its page: a group without members is for nobody yet.
      await navigate(paths.group(group.name));
    });
  return (
    <Form
      label={t.groups.add}
      action={t.people.add}
      isComplete={name.trim() !== ""}
      isPending={change.isPending}
      error={taken ? null : change.error}
      onSubmit={create}
      onCancel={onCancel}
    >
      <div className={form.pair}>
        <TextField
          label={t.groups.name}
          hint={t.groups.nameHint}
          error={taken}
          value={name}
          onChange={setName}
          maxLength={64}
          isName
          isFirst
        />
        <TextField
          label={t.groups.description}
          hint={t.people.optional}
          value={description}
          onChange={setDescription}
          maxLength={200}
        />
      </div>
    </Form>
  );
}
