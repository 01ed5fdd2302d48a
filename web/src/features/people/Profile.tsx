import { type FormEvent, useState } from "react";
import { api, currentAccount } from "../../api/client";
import { shownOf, useChange } from "../../api/identity";
import { currentKey, signIn } from "../../api/session";
import type { User, UserChange } from "../../api/types";
import { ErrorNote } from "../../components/ErrorNote";
import { Done, Field } from "../../components/Form";
import form from "../../components/Form.module.css";
import { Section } from "../../components/Page";
import { useI18n } from "../../i18n";
import { RoleField } from "./RoleField";
import { isManaged } from "./UserBadges";

type Props = { user: User; isSelf: boolean; mayManage: boolean };

/** What someone is called and may do. */
export function Profile({ user, isSelf, mayManage }: Props) {
  const { t } = useI18n();
  const [displayName, setDisplayName] = useState(user.display_name);
  const [email, setEmail] = useState(user.email ?? "");
  const [role, setRole] = useState(user.role);
  const change = useChange(
    async (given: UserChange) => {
      const params = { path: { id: user.id } };
      await api.PATCH("/api/v1/users/{id}", { params, body: given });
      // One's own name is on every page.
      if (isSelf) signIn(await currentAccount(), currentKey());
    },
    ...shownOf(user.name),
  );
  const changes: UserChange = {
    ...(displayName.trim() === user.display_name ? {} : { display_name: displayName.trim() }),
    ...(email.trim() === (user.email ?? "") ? {} : { email: email.trim() || null }),
    ...(role === user.role ? {} : { role }),
  };
  const isChanged = Object.keys(changes).length > 0;
  const complete = isChanged && displayName.trim() !== "";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (complete && !change.isPending) change.mutate(changes);
  };
  const fixed = isSelf
    ? t.people.ownRole
    : isManaged(user.source)
      ? t.people.managedRole
      : undefined;
  return (
    <Section title={t.people.profile}>
      <form className={form.form} onSubmit={submit}>
        <div className={form.pair}>
          <Field label={t.people.displayName}>
            {(ties) => (
              <input
                {...ties}
                className="input"
                value={displayName}
                maxLength={200}
                disabled={!mayManage}
                autoComplete="off"
                onChange={(event) => setDisplayName(event.target.value)}
              />
            )}
          </Field>
          {user.kind === "person" && (
            <Field label={t.people.email}>
              {(ties) => (
                <input
                  {...ties}
                  className="input"
                  type="email"
                  value={email}
                  disabled={!mayManage}
                  autoComplete="off"
                  onChange={(event) => setEmail(event.target.value)}
                />
              )}
            </Field>
          )}
        </div>
        <RoleField role={role} onRole={setRole} fixed={mayManage ? fixed : t.people.readOnly} />
        {role !== user.role && <p className={form.hint}>{t.people.roleEndsSessions}</p>}
        {change.isError && <ErrorNote error={change.error} />}
        {mayManage && (
          <div className={form.actions}>
            <button type="submit" className="button" disabled={!complete || change.isPending}>
              {t.people.save}
            </button>
            {change.isSuccess && !isChanged && <Done>{t.people.saved}</Done>}
          </div>
        )}
      </form>
    </Section>
  );
}
