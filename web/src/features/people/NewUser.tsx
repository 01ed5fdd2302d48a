import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { useChange } from "../../api/change";
import { api, body } from "../../api/client";
import { ofCode } from "../../api/errors";
import { groupsQuery, identityKeys, singleSignOnQuery } from "../../api/identity";
import type { UserKind, UserRole } from "../../api/types";
import { Checks, Choice, Form, TextField } from "../../components/Form";
import form from "../../components/Form.module.css";
import { LoadError } from "../../components/Loaded";
import { useI18n } from "../../i18n";
import { isLongEnough } from "../access/password";
import { HandOver } from "./HandOver";
import { PasswordField } from "./PasswordField";
import { paths } from "./paths";
import { RoleField } from "./RoleField";

type Props = { kind: UserKind; onClose: () => void };

/** Adds a person or a service. A person's password is shown once, to be handed over. */
export function NewUser({ kind, onClose }: Props) {
  const { t } = useI18n();
  const navigate = useNavigate();
  const groups = useQuery(groupsQuery);
  const provider = useQuery(singleSignOnQuery);
  const [name, setName] = useState("");
  const [displayName, setDisplayName] = useState("");
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<UserRole>("reader");
  const [by, setBy] = useState<"password" | "provider">("password");
  const [password, setPassword] = useState("");
  const [subject, setSubject] = useState("");
  const [chosen, setChosen] = useState<string[]>([]);
  const [added, setAdded] = useState<{ name: string; password: string } | null>(null);
  const change = useChange(identityKeys.users, identityKeys.groups);
  const taken = ofCode(change.error, "user_exists");
  const isPerson = kind === "person";
  const hasPassword = isPerson && by === "password";
  const hasSubject = isPerson && by === "provider";
  const create = () =>
    change.run(async () => {
      const given = {
        kind,
        name: name.trim(),
        display_name: displayName.trim() || null,
        email: email.trim() || null,
        role,
        password: hasPassword ? password : null,
        subject: hasSubject ? subject.trim() : null,
        groups: chosen,
      };
      const user = body(await api.POST("/api/v1/users", { body: given }));
      if (hasPassword) setAdded({ name: user.name, password });
      else await navigate(paths.user(user.name));
    });
  if (added) {
    return <HandOver {...added} title={t.people.addedTitle(added.name)} onDone={onClose} />;
  }
  return (
    <Form
      label={t.people.of[kind].add}
      action={t.people.add}
      isComplete={
        name.trim() !== "" &&
        (!hasPassword || isLongEnough(password)) &&
        (!hasSubject || subject.trim() !== "")
      }
      isPending={change.isPending}
      error={taken ? null : change.error}
      onSubmit={create}
      onCancel={onClose}
    >
      <div className={form.pair}>
        <TextField
          label={t.account.login}
          hint={t.people.loginHint}
          error={taken}
          value={name}
          onChange={setName}
          maxLength={64}
          isName
          isFirst
        />
        <TextField
          label={t.people.displayName}
          hint={t.people.optional}
          value={displayName}
          onChange={setDisplayName}
          maxLength={200}
        />
        <RoleField role={role} onChange={setRole} />
        {isPerson && (
          <TextField
            label={t.people.email}
            hint={t.people.optional}
            type="email"
            value={email}
            onChange={setEmail}
          />
        )}
      </div>
      {isPerson && <LoadError query={provider} />}
      {isPerson && provider.data?.offered && (
        <Choice
          label={t.people.signsIn}
          value={by}
          onChange={setBy}
          options={[
            { value: "password", label: t.people.byPassword },
            { value: "provider", label: t.people.byProvider },
          ]}
        />
      )}
      {hasPassword && <PasswordField value={password} onChange={setPassword} />}
      {hasSubject && (
        <TextField
          label={t.people.subject}
          hint={t.people.subjectHint}
          value={subject}
          onChange={setSubject}
          isName
        />
      )}
      <LoadError query={groups} />
      {(groups.data ?? []).length > 0 && (
        <Checks
          label={t.people.groups}
          options={(groups.data ?? []).map((group) => group.name)}
          chosen={chosen}
          onChange={setChosen}
        />
      )}
    </Form>
  );
}
