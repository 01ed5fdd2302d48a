import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link, useNavigate } from "react-router";
import { api, body } from "../../api/client";
import { groupsQuery, identityKeys, useChange } from "../../api/identity";
import { useMay } from "../../api/session";
import { ErrorNote } from "../../components/ErrorNote";
import { Field } from "../../components/Form";
import form from "../../components/Form.module.css";
import { Icon } from "../../components/Icon";
import { KuraMark } from "../../components/KuraMark";
import { Page } from "../../components/Page";
import rows from "../../components/Rows.module.css";
import { useI18n } from "../../i18n";
import { findGroups } from "./find";
import { PeopleTabs } from "./PeopleTabs";
import { paths } from "./paths";
import { SearchBar } from "./SearchBar";
import { SourceBadge } from "./UserBadges";

/** How many are shown before more are asked for. */
const SHOWN = 50;

/** The groups that collections and documents name as their readers. */
export function GroupsPage() {
  const { t } = useI18n();
  const groups = useQuery(groupsQuery);
  const mayManage = useMay("manage_identity");
  const [text, setText] = useState("");
  const [shown, setShown] = useState(SHOWN);
  const [adding, setAdding] = useState(false);
  const found = findGroups(groups.data ?? [], text);
  return (
    <Page title={t.people.title} lead={t.people.lead}>
      <PeopleTabs />
      {groups.isPending && <p className={rows.note}>{t.loading}</p>}
      {groups.isError && <ErrorNote error={groups.error} onRetry={() => void groups.refetch()} />}
      {groups.data && (
        <>
          <SearchBar
            label={t.groups.search}
            text={text}
            onText={(next) => {
              setText(next);
              setShown(SHOWN);
            }}
            count={t.groups.count(found.length)}
            action={
              mayManage &&
              !adding && (
                <button type="button" className="button" onClick={() => setAdding(true)}>
                  <Icon name="plus" />
                  {t.groups.add}
                </button>
              )
            }
          />
          {adding && <NewGroup onCancel={() => setAdding(false)} />}
          <ul className={rows.rows} aria-label={t.people.groups}>
            {found.slice(0, shown).map((group) => (
              <li key={group.name}>
                <div className={rows.what}>
                  <h2 className={rows.name}>
                    <Link to={paths.group(group.name)}>{group.name}</Link>
                  </h2>
                  <p className={rows.facts}>
                    {[group.description, t.groups.members(group.members.length)]
                      .filter(Boolean)
                      .join(" · ")}
                  </p>
                </div>
                <p className={rows.badges}>
                  <SourceBadge source={group.source} />
                </p>
              </li>
            ))}
          </ul>
          {found.length === 0 && (
            <div className={rows.empty}>
              {groups.data.length === 0 && <KuraMark />}
              <h2>{groups.data.length === 0 ? t.groups.none : t.people.notFound}</h2>
              <p>{groups.data.length === 0 ? t.groups.noneText : t.people.notFoundText}</p>
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

function NewGroup({ onCancel }: { onCancel: () => void }) {
  const { t } = useI18n();
  const navigate = useNavigate();
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const create = useChange(
    async (given: { name: string; description: string }) =>
      body(await api.POST("/api/v1/groups", { body: given })),
    identityKeys.groups,
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim() === "" || create.isPending) return;
    create.mutate(
      { name: name.trim(), description: description.trim() },
      // To its page: a group without members is for nobody yet.
      { onSuccess: (group) => void navigate(paths.group(group.name)) },
    );
  };
  return (
    <form className={form.panel} onSubmit={submit} aria-label={t.groups.add}>
      <div className={form.pair}>
        <Field label={t.groups.name} hint={t.groups.nameHint}>
          {(ties) => (
            <input
              {...ties}
              className="input"
              value={name}
              maxLength={64}
              autoComplete="off"
              autoCapitalize="off"
              spellCheck={false}
              // biome-ignore lint/a11y/noAutofocus: the person has this moment asked for the form
              autoFocus
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        <Field label={t.groups.description} hint={t.people.optional}>
          {(ties) => (
            <input
              {...ties}
              className="input"
              value={description}
              maxLength={200}
              autoComplete="off"
              onChange={(event) => setDescription(event.target.value)}
            />
          )}
        </Field>
      </div>
      {create.isError && <ErrorNote error={create.error} />}
      <div className={form.actions}>
        <button type="submit" className="button" disabled={name.trim() === "" || create.isPending}>
          {t.people.add}
        </button>
        <button type="button" className="button quiet" onClick={onCancel}>
          {t.cancel}
        </button>
      </div>
    </form>
  );
}
