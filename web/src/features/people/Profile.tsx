import { useState } from "react";
import { useChange } from "../../api/change";
import { api, body } from "../../api/client";
import { shownOf } from "../../api/identity";
import { amendAccount } from "../../api/session";
import type { User, UserChange, UserRole } from "../../api/types";
import { Form, TextField } from "../../components/Form";
import form from "../../components/Form.module.css";
import { Section } from "../../components/Page";
import { useI18n } from "../../i18n";
import { RoleField } from "./RoleField";
import { isManaged } from "./UserBadges";

type Props = { user: User; isSelf: boolean; mayManage: boolean };

/** What someone is called and may do. */
export function Profile({ user, isSelf, mayManage }: Props) {
  const { t } = useI18n();
  // Only what was touched: the rest follows the server, where others may change it meanwhile.
  const [draft, setDraft] = useState<{ name?: string; email?: string; role?: UserRole }>({});
  const { name = user.display_name, email = user.email ?? "", role = user.role } = draft;
  const change = useChange(...shownOf(user.name));
  const changes: UserChange = {
    ...(name.trim() === user.display_name ? {} : { display_name: name.trim() }),
    ...(email.trim() === (user.email ?? "") ? {} : { email: email.trim() || null }),
    ...(role === user.role ? {} : { role }),
  };
  const isChanged = Object.keys(changes).length > 0;
  const save = async () => {
    const isSaved = await change.run(async () => {
      const params = { path: { id: user.id } };
      const saved = body(await api.PATCH("/api/v1/users/{id}", { params, body: changes }));
      // One's own name is on every page.
      if (isSelf) amendAccount((account) => ({ ...account, display_name: saved.display_name }));
    });
    // What was typed since stays.
    if (isSaved) setDraft((now) => (now === draft ? {} : now));
  };
  const fixed = isSelf
    ? t.people.ownRole
    : isManaged(user.source)
      ? t.people.managedRole
      : undefined;
  return (
    <Section title={t.people.profile}>
      <Form
        action={mayManage ? t.people.save : undefined}
        isComplete={isChanged && name.trim() !== ""}
        isPending={change.isPending}
        error={change.error}
        done={change.isDone && !isChanged && t.people.saved}
        onSubmit={save}
      >
        <div className={form.pair}>
          <TextField
            label={t.people.displayName}
            value={name}
            onChange={(next) => setDraft({ ...draft, name: next })}
            maxLength={200}
            disabled={!mayManage}
          />
          {user.kind === "person" && (
            <TextField
              label={t.people.email}
              type="email"
              value={email}
              onChange={(next) => setDraft({ ...draft, email: next })}
              disabled={!mayManage}
            />
          )}
        </div>
        <RoleField
          role={role}
          onChange={(next) => setDraft({ ...draft, role: next })}
          fixed={mayManage ? fixed : t.people.readOnly}
        />
        {role !== user.role && <p className={form.hint}>{t.people.roleEndsSessions}</p>}
      </Form>
    </Section>
  );
}
