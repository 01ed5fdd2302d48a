import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { useChange } from "../../api/change";
import { groupsQuery, setGroupMember, shownOf } from "../../api/identity";
import type { User } from "../../api/types";
import { ErrorNote } from "../../components/ErrorNote";
import { SelectField, submits } from "../../components/Form";
import form from "../../components/Form.module.css";
import { IconButton } from "../../components/IconButton";
import { LoadError } from "../../components/Loaded";
import { Section } from "../../components/Page";
import { Row, Rows } from "../../components/Rows";
import { useI18n } from "../../i18n";
import { paths } from "./paths";
import { SourceBadge } from "./UserBadges";

type Props = { user: User; mayManage: boolean };

/** The groups that someone belongs to. */
export function UserGroups({ user, mayManage }: Props) {
  const { t } = useI18n();
  const groups = useQuery(groupsQuery);
  const [chosen, setChosen] = useState("");
  const change = useChange(...shownOf(user.name));
  const others = (groups.data ?? []).filter(({ name }) => !user.groups.includes(name));
  const sourceOf = (name: string) =>
    groups.data?.find((group) => group.name === name)?.source ?? "local";
  const add = () =>
    change.run(async () => {
      await setGroupMember(chosen, user.name, true);
      setChosen("");
    });
  const remove = (group: string) => change.run(() => setGroupMember(group, user.name, false));
  return (
    <Section title={t.people.groups} lead={t.people.groupsLead}>
      <Rows label={t.people.groups} none={t.people.inNoGroup}>
        {user.groups.map((name) => (
          <Row key={name} name={<Link to={paths.group(name)}>{name}</Link>}>
            <SourceBadge source={sourceOf(name)} />
            {mayManage && (
              <IconButton
                icon="close"
                label={t.people.takeOutOf(name)}
                disabled={change.isPending}
                onClick={() => remove(name)}
              />
            )}
          </Row>
        ))}
      </Rows>
      <LoadError query={groups} />
      {change.error !== null && <ErrorNote error={change.error} />}
      {mayManage && others.length > 0 && (
        <form className={form.line} onSubmit={submits(() => chosen !== "" && add())}>
          <SelectField
            label={t.people.addToGroup}
            options={[
              { value: "", label: t.people.chooseGroup },
              ...others.map(({ name }) => ({ value: name, label: name })),
            ]}
            value={chosen}
            onChange={setChosen}
          />
          <button
            type="submit"
            className="button quiet"
            disabled={chosen === "" || change.isPending}
          >
            {t.people.add}
          </button>
        </form>
      )}
    </Section>
  );
}
