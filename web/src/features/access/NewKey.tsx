import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api, body } from "../../api/client";
import { identityKeys, useChange } from "../../api/identity";
import { collectionsQuery } from "../../api/queries";
import { useMay } from "../../api/session";
import type { MadeApiKey, NewApiKey, UserRole } from "../../api/types";
import { ErrorNote } from "../../components/ErrorNote";
import { Checks, Choice, Field } from "../../components/Form";
import form from "../../components/Form.module.css";
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
  const create = useChange(
    async (given: NewApiKey) => body(await api.POST("/api/v1/api-keys", { body: given })),
    identityKeys.apiKeys(owner),
  );
  const names = (collections.data ?? []).map((collection) => collection.name);
  const roles = lesserRoles(role);
  const complete =
    name.trim() !== "" &&
    endOf(lifetime, day) !== undefined &&
    (reach === "all" || chosen.length > 0) &&
    countOf(requests) !== undefined &&
    countOf(tokens) !== undefined;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!complete || create.isPending) return;
    const given: NewApiKey = {
      name: name.trim(),
      ...(owner === null ? {} : { user: owner }),
      role: least === "" ? null : least,
      collections: reach === "all" ? null : chosen,
      expires_at: endOf(lifetime, day) ?? null,
      requests_per_minute: countOf(requests) ?? null,
      tokens_per_day: countOf(tokens) ?? null,
    };
    create.mutate(given, { onSuccess: onMade });
  };
  return (
    <form className={form.panel} onSubmit={submit} aria-label={t.access.newKey}>
      <div className={form.pair}>
        <Field label={t.access.keyName} hint={t.access.keyNameHint}>
          {(ties) => (
            <input
              {...ties}
              className="input"
              value={name}
              maxLength={200}
              autoComplete="off"
              // biome-ignore lint/a11y/noAutofocus: the person has this moment asked for the form
              autoFocus
              onChange={(event) => setName(event.target.value)}
            />
          )}
        </Field>
        <Field label={t.access.lifetime}>
          {(ties) => (
            <select
              {...ties}
              className="select"
              value={lifetime}
              onChange={(event) => setLifetime(event.target.value as Lifetime)}
            >
              {LIFETIMES.map((one) => (
                <option key={one} value={one}>
                  {t.access.lifetimes[one]}
                </option>
              ))}
            </select>
          )}
        </Field>
        {lifetime === "custom" && (
          <Field label={t.access.lastDay} hint={t.access.lastDayHint}>
            {(ties) => (
              <input
                {...ties}
                className="input"
                type="date"
                value={day}
                onChange={(event) => setDay(event.target.value)}
              />
            )}
          </Field>
        )}
        {roles.length > 0 && (
          <Field label={t.access.allows}>
            {(ties) => (
              <select
                {...ties}
                className="select"
                value={least}
                onChange={(event) => setLeast(event.target.value as UserRole | "")}
              >
                <option value="">{t.access.allowsAll}</option>
                {roles.map((one) => (
                  <option key={one} value={one}>
                    {t.access.allowsRole(t.account.roles[one])}
                  </option>
                ))}
              </select>
            )}
          </Field>
        )}
      </div>
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
          <Field label={t.access.requestsPerMinute} hint={t.access.limitHint}>
            {(ties) => (
              <input
                {...ties}
                className="input"
                inputMode="numeric"
                value={requests}
                aria-invalid={countOf(requests) === undefined}
                onChange={(event) => setRequests(event.target.value)}
              />
            )}
          </Field>
          <Field label={t.access.tokensPerDay} hint={t.access.limitHint}>
            {(ties) => (
              <input
                {...ties}
                className="input"
                inputMode="numeric"
                value={tokens}
                aria-invalid={countOf(tokens) === undefined}
                onChange={(event) => setTokens(event.target.value)}
              />
            )}
          </Field>
        </div>
      </details>
      {create.isError && <ErrorNote error={create.error} />}
      <div className={form.actions}>
        <button type="submit" className="button" disabled={!complete || create.isPending}>
          {t.access.create}
        </button>
        <button type="button" className="button quiet" onClick={onCancel}>
          {t.cancel}
        </button>
      </div>
    </form>
  );
}
