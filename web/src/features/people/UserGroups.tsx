import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link } from "react-router";
import { groupsQuery, setGroupMember, shownOf, useChange } from "../../api/identity";
import type { User } from "../../api/types";
import { ErrorNote } from "../../components/ErrorNote";
import { Field } from "../../components/Form";
import form from "../../components/Form.module.css";
import { Icon } from "../../components/Icon";
import { Section } from "../../components/Page";
import rows from "../../components/Rows.module.css";
import { useI18n } from "../../i18n";
import { paths } from "./paths";
import { SourceBadge } from "./UserBadges";

type Props = { user: User; mayManage: boolean };

/** The groups that someone belongs to. */
export function UserGroups({ user, mayManage }: Props) {
  const { t } = useI18n();
  const groups = useQuery(groupsQuery);
  const [chosen, setChosen] = useState("");
  const change = useChange(
    ({ group, belongs }: { group: string; belongs: boolean }) =>
      setGroupMember(group, user.name, belongs),
    ...shownOf(user.name),
  );
  const sourceOf = (name: string) =>
    groups.data?.find((group) => group.name === name)?.source ?? "local";
  const others = (groups.data ?? []).filter(({ name }) => !user.groups.includes(name));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (chosen === "" || change.isPending) return;
    change.mutate({ group: chosen, belongs: true }, { onSuccess: () => setChosen("") });
  };
  return (
    <Section title={t.people.groups} lead={t.people.groupsLead}>
      {user.groups.length === 0 && <p className={rows.note}>{t.people.inNoGroup}</p>}
      <ul className={rows.rows} aria-label={t.people.groups}>
        {user.groups.map((name) => (
          <li key={name}>
            <div className={rows.what}>
              <h3 className={rows.name}>
                <Link to={paths.group(name)}>{name}</Link>
              </h3>
            </div>
            <SourceBadge source={sourceOf(name)} />
            {mayManage && (
              <button
                type="button"
                className="icon-button"
                aria-label={t.people.takeOutOf(name)}
                title={t.people.takeOutOf(name)}
                disabled={change.isPending}
                onClick={() => change.mutate({ group: name, belongs: false })}
              >
                <Icon name="close" />
              </button>
            )}
          </li>
        ))}
      </ul>
      {groups.isError && <ErrorNote error={groups.error} />}
      {change.isError && <ErrorNote error={change.error} />}
      {mayManage && others.length > 0 && (
        <form className={form.line} onSubmit={submit}>
          <Field label={t.people.addToGroup}>
            {(ties) => (
              <select
                {...ties}
                className="select"
                value={chosen}
                onChange={(event) => setChosen(event.target.value)}
              >
                <option value="">{t.people.chooseGroup}</option>
                {others.map(({ name }) => (
                  <option key={name} value={name}>
                    {name}
                  </option>
                ))}
              </select>
            )}
          </Field>
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
