import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, body } from "../../api/client";
import { apiKeysQuery, identityKeys, useChange } from "../../api/identity";
import type { ApiKey, MadeApiKey, UserRole } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import { Icon } from "../../components/Icon";
import { Section } from "../../components/Page";
import rows from "../../components/Rows.module.css";
import { type Messages, useI18n } from "../../i18n";
import { formatMoment } from "../../i18n/time";
import { keyState } from "./keys";
import { NewKey } from "./NewKey";
import { ShownOnce } from "./ShownOnce";

type Props = {
  /** Whose keys: a login, or `null` for one's own. */
  owner: string | null;
  /** What the owner may do. */
  role: UserRole;
  /** Whether who is signed in may hold keys of the owner, and so make and rotate them. */
  mayMake: boolean;
  lead: string;
};

/** The API keys of someone: those that are good, what can be done with them, and those that have ended. */
export function KeyList({ owner, role, mayMake, lead }: Props) {
  const { t } = useI18n();
  const list = useInfiniteQuery(apiKeysQuery(owner));
  const [making, setMaking] = useState(false);
  const [made, setMade] = useState<MadeApiKey | null>(null);
  const [asking, setAsking] = useState<{ what: "revoke" | "rotate"; key: ApiKey } | null>(null);
  const revoke = useChange(
    (id: string) => api.DELETE("/api/v1/api-keys/{id}", { params: { path: { id } } }),
    identityKeys.apiKeys(owner),
  );
  const rotate = useChange(async (id: string) => {
    const params = { path: { id } };
    return body(await api.POST("/api/v1/api-keys/{id}/rotate", { params }));
  }, identityKeys.apiKeys(owner));
  const keys = list.data?.pages.flatMap(({ items }) => items) ?? [];
  const active = keys.filter((key) => keyState(key) === "active");
  const ended = keys.filter((key) => keyState(key) !== "active");
  const failure = revoke.error ?? rotate.error;
  const confirm = () => {
    if (asking === null) return;
    const { id } = asking.key;
    if (asking.what === "rotate") return rotate.mutate(id, { onSuccess: setMade });
    // A key that is void need not be kept.
    revoke.mutate(id, { onSuccess: () => setMade((now) => (now?.api_key.id === id ? null : now)) });
  };
  return (
    <Section
      title={t.access.keys}
      lead={lead}
      action={
        mayMake &&
        !making && (
          <button type="button" className="button quiet" onClick={() => setMaking(true)}>
            <Icon name="plus" />
            {t.access.newKey}
          </button>
        )
      }
    >
      {making && (
        <NewKey
          owner={owner}
          role={role}
          onMade={(key) => {
            setMaking(false);
            setMade(key);
          }}
          onCancel={() => setMaking(false)}
        />
      )}
      {made && (
        <ShownOnce
          key={made.key}
          title={t.access.madeTitle(made.api_key.name)}
          lead={t.access.madeLead}
          items={[{ label: t.access.key, text: made.key, copy: t.access.copyKey }]}
          onDone={() => setMade(null)}
        />
      )}
      {failure !== null && <ErrorNote error={failure} />}
      {list.isPending && <p className={rows.note}>{t.loading}</p>}
      {list.isError && <ErrorNote error={list.error} onRetry={() => void list.refetch()} />}
      {list.isSuccess && active.length === 0 && !made && (
        <p className={rows.note}>{t.access.noKeys}</p>
      )}
      <ul className={rows.rows} aria-label={t.access.keys}>
        {active.map((key) => (
          <li key={key.id}>
            <KeyFacts apiKey={key} />
            <div className={rows.actions}>
              {mayMake && (
                <button
                  type="button"
                  className="icon-button"
                  aria-label={t.access.rotate(key.name)}
                  title={t.access.rotate(key.name)}
                  disabled={rotate.isPending}
                  onClick={() => setAsking({ what: "rotate", key })}
                >
                  <Icon name="rotate" />
                </button>
              )}
              <button
                type="button"
                className="icon-button"
                aria-label={t.access.revoke(key.name)}
                title={t.access.revoke(key.name)}
                disabled={revoke.isPending}
                onClick={() => setAsking({ what: "revoke", key })}
              >
                <Icon name="trash" />
              </button>
            </div>
          </li>
        ))}
      </ul>
      {ended.length > 0 && (
        <details className={rows.ended}>
          <summary>{t.access.endedKeys(ended.length)}</summary>
          <ul className={rows.rows}>
            {ended.map((key) => (
              <li key={key.id}>
                <KeyFacts apiKey={key} />
              </li>
            ))}
          </ul>
        </details>
      )}
      {list.hasNextPage && (
        <button
          type="button"
          className={`button quiet ${rows.more}`}
          disabled={list.isFetchingNextPage}
          onClick={() => void list.fetchNextPage()}
        >
          {t.more}
        </button>
      )}
      {asking && (
        <ConfirmDialog
          title={asking.what === "revoke" ? t.access.revokeTitle : t.access.rotateTitle}
          text={
            asking.what === "revoke"
              ? t.access.revokeText(asking.key.name)
              : t.access.rotateText(asking.key.name)
          }
          action={asking.what === "revoke" ? t.access.revokeAction : t.access.rotateAction}
          onConfirm={confirm}
          onClose={() => setAsking(null)}
        />
      )}
    </Section>
  );
}

function KeyFacts({ apiKey }: { apiKey: ApiKey }) {
  const { language, t } = useI18n();
  const at = (time: string) => formatMoment(time, language);
  const reaches =
    apiKey.collections === null
      ? t.access.everything
      : t.access.only(apiKey.collections.join(", "));
  const limits = [
    apiKey.requests_per_minute && t.access.requests(apiKey.requests_per_minute),
    apiKey.tokens_per_day && t.access.tokens(apiKey.tokens_per_day),
  ];
  const times = [
    t.access.made(at(apiKey.created_at)),
    apiKey.last_used_at ? t.access.used(at(apiKey.last_used_at)) : t.access.unused,
    endText(apiKey, t, at),
  ];
  return (
    <div className={rows.what}>
      <h3 className={rows.name}>{apiKey.name}</h3>
      <p className={rows.facts}>
        <code>{apiKey.prefix}…</code> ·{" "}
        {apiKey.role && `${t.access.as(t.account.roles[apiKey.role])} · `}
        {[reaches, ...limits].filter(Boolean).join(" · ")}
      </p>
      <p className={rows.facts}>{times.join(" · ")}</p>
    </div>
  );
}

function endText(key: ApiKey, t: Messages, at: (time: string) => string): string {
  if (key.revoked_at !== null) return t.access.revokedAt(at(key.revoked_at));
  if (key.expires_at === null) return t.access.neverEnds;
  const time = at(key.expires_at);
  return keyState(key) === "expired" ? t.access.expiredAt(time) : t.access.endsAt(time);
}
