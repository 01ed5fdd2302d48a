import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useNavigate } from "react-router";
import { api, body } from "../../api/client";
import { groupsQuery, identityKeys, singleSignOnQuery, useChange } from "../../api/identity";
import type { NewUser as Given, UserKind, UserRole } from "../../api/types";
import { ErrorNote } from "../../components/ErrorNote";
import { Checks, Choice, Field } from "../../components/Form";
import form from "../../components/Form.module.css";
import { useI18n } from "../../i18n";
import { isLongEnough } from "../access/password";
import { ShownOnce } from "../access/ShownOnce";
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
  const create = useChange(
    async (given: Given) => body(await api.POST("/api/v1/users", { body: given })),
    identityKeys.users,
    identityKeys.groups,
  );
  const isPerson = kind === "person";
  const proven = !isPerson || (by === "password" ? isLongEnough(password) : subject.trim() !== "");
  const complete = name.trim() !== "" && proven;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!complete || create.isPending) return;
    const given: Given = {
      kind,
      name: name.trim(),
      display_name: displayName.trim() || null,
      email: email.trim() || null,
      role,
      password: isPerson && by === "password" ? password : null,
      subject: isPerson && by === "provider" ? subject.trim() : null,
      groups: chosen,
    };
    create.mutate(given, {
      onSuccess: (user) => {
        if (isPerson && by === "password") setAdded({ name: user.name, password });
        else void navigate(paths.user(user.name));
      },
    });
  };
  if (added) {
    return (
      <ShownOnce
        title={t.people.addedTitle(added.name)}
        lead={t.people.handOver}
        items={[
          { label: t.gate.name, text: added.name, copy: t.people.copyName },
          { label: t.gate.password, text: added.password, copy: t.people.copyPassword },
        ]}
        onDone={onClose}
      />
    );
  }
  const words = t.people.of[kind];
  return (
    <form className={form.panel} onSubmit={submit} aria-label={words.add}>
      <div className={form.pair}>
        <Field label={t.account.login} hint={t.people.loginHint}>
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
        <Field label={t.people.displayName} hint={t.people.optional}>
          {(ties) => (
            <input
              {...ties}
              className="input"
              value={displayName}
              maxLength={200}
              autoComplete="off"
              onChange={(event) => setDisplayName(event.target.value)}
            />
          )}
        </Field>
        <RoleField role={role} onRole={setRole} />
        {isPerson && (
          <Field label={t.people.email} hint={t.people.optional}>
            {(ties) => (
              <input
                {...ties}
                className="input"
                type="email"
                value={email}
                autoComplete="off"
                onChange={(event) => setEmail(event.target.value)}
              />
            )}
          </Field>
        )}
      </div>
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
      {isPerson && by === "password" && <PasswordField value={password} onValue={setPassword} />}
      {isPerson && by === "provider" && (
        <Field label={t.people.subject} hint={t.people.subjectHint}>
          {(ties) => (
            <input
              {...ties}
              className="input"
              value={subject}
              autoComplete="off"
              autoCapitalize="off"
              spellCheck={false}
              onChange={(event) => setSubject(event.target.value)}
            />
          )}
        </Field>
      )}
      {(groups.data ?? []).length > 0 && (
        <Checks
          label={t.people.groups}
          options={(groups.data ?? []).map((group) => group.name)}
          chosen={chosen}
          onChange={setChosen}
        />
      )}
      {create.isError && <ErrorNote error={create.error} />}
      <div className={form.actions}>
        <button type="submit" className="button" disabled={!complete || create.isPending}>
          {t.people.add}
        </button>
        <button type="button" className="button quiet" onClick={onClose}>
          {t.cancel}
        </button>
      </div>
    </form>
  );
}
