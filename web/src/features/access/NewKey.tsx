import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useChange } from "../../api/change";
import { api, body } from "../../api/client";
import { identityKeys } from "../../api/identity";
import { collectionsQuery } from "../../api/queries";
import { useMay } from "../../api/session";
import type { MadeApiKey, UserRole } from "../../api/types";
import { Checks, Choice, Form, SelectField, TextField } from "../../components/Form";
import form from "../../components/Form.module.css";
import { LoadError } from "../../components/Loaded";
import { useI18n } from "../../i18n";
import { countOf, endOf, LIFETIMES, type Lifetime, lesserRoles } from "./keys";

type Props = {
  owner: string | null;
  role: UserRole;
  onMade: (made: MadeApiKey) => void;
  onCancel: () => void;
};

/** Makes a key: what it is for, when it ends, and what it may reach. */
export function NewKey({ owner, role, onMade, onCancel }: Props) {
  const { t } = useI18n();
  const mayRead = useMay("read");
  const collections = useQuery({ ...collectionsQuery, enabled: mayRead });
  const [name, setName] = useState("");
  const [lifetime, setLifetime] = useState<Lifetime>("90");
  const [day, setDay] = useState("");
  const [least, setLeast] = useState<UserRole | "">("");
  const [reach, setReach] = useState<"all" | "some">("all");
  const [chosen, setChosen] = useState<string[]>([]);
  const [requests, setRequests] = useState("");
  const [tokens, setTokens] = useState("");
  const change = useChange(identityKeys.apiKeys(owner));
  const end = endOf(lifetime, day);
  const limits = { requests: countOf(requests), tokens: countOf(tokens) };
  const names = (collections.data ?? []).map((collection) => collection.name);
  const roles = lesserRoles(role);
  const create = () =>
    change.run(async () => {
      const given = {
        name: name.trim(),
        ...(owner === null ? {} : { user: owner }),
        role: least === "" ? null : least,
        collections: reach === "all" ? null : chosen,
        expires_at: end ?? null,
        requests_per_minute: limits.requests ?? null,
        tokens_per_day: limits.tokens ?? null,
      };
      onMade(body(await api.POST("/api/v1/api-keys", { body: given })));
    });
  return (
    <Form
      label={t.access.newKey}
      action={t.access.create}
      isComplete={
        name.trim() !== "" &&
        end !== undefined &&
        (reach === "all" || chosen.length > 0) &&
        limits.requests !== undefined &&
        limits.tokens !== undefined
      }
      isPending={change.isPending}
      error={change.error}
      onSubmit={create}
      onCancel={onCancel}
    >
      <div className={form.pair}>
        <TextField
          label={t.access.keyName}
          hint={t.access.keyNameHint}
          value={name}
          onChange={setName}
          maxLength={200}
          isFirst
        />
        <SelectField
          label={t.access.lifetime}
          options={LIFETIMES.map((value) => ({ value, label: t.access.lifetimes[value] }))}
          value={lifetime}
          onChange={setLifetime}
        />
        {lifetime === "custom" && (
          <TextField
            label={t.access.lastDay}
            hint={t.access.lastDayHint}
            type="date"
            value={day}
            onChange={setDay}
          />
        )}
        {roles.length > 0 && (
          <SelectField
            label={t.access.allows}
            options={[
              { value: "", label: t.access.allowsAll },
              ...roles.map((value) => ({
                value,
                label: t.access.allowsRole(t.account.roles[value]),
              })),
            ]}
            value={least}
            onChange={setLeast}
          />
        )}
      </div>
      <LoadError query={collections} />
      {names.length > 0 && (
        <Choice
          label={t.access.reach}
          value={reach}
          onChange={setReach}
          options={[
            { value: "all", label: t.access.reachAll },
            { value: "some", label: t.access.reachSome },
          ]}
        />
      )}
      {reach === "some" && (
        <Checks label={t.access.collections} options={names} chosen={chosen} onChange={setChosen} />
      )}
      <details className={form.more}>
        <summary>{t.access.limits}</summary>
        <div className={form.pair}>
          <TextField
            label={t.access.requestsPerMinute}
            hint={t.access.limitHint}
            isWrong={limits.requests === undefined}
            inputMode="numeric"
            value={requests}
            onChange={setRequests}
          />
          <TextField
            label={t.access.tokensPerDay}
            hint={t.access.limitHint}
            isWrong={limits.tokens === undefined}
            inputMode="numeric"
            value={tokens}
            onChange={setTokens}
          />
        </div>
      </details>
    </Form>
  );
}
