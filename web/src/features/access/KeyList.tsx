import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useChange } from "../../api/change";
import { api, body } from "../../api/client";
import { apiKeysQuery, identityKeys } from "../../api/identity";
import type { ApiKey, MadeApiKey, UserRole } from "../../api/types";
import { AskFirst } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import { Icon } from "../../components/Icon";
import { IconButton } from "../../components/IconButton";
import { Loaded } from "../../components/Loaded";
import { Section } from "../../components/Page";
import { Facts, More, Row, Rows } from "../../components/Rows";
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
  const change = useChange(identityKeys.apiKeys(owner));
  const [making, setMaking] = useState(false);
  // Each stays until it is kept elsewhere, or void.
  const [made, setMade] = useState<MadeApiKey[]>([]);
  const drop = (id: string) => setMade((all) => all.filter(({ api_key }) => api_key.id !== id));
  const show = (key: MadeApiKey) => {
    drop(key.api_key.id);
    setMade((all) => [...all, key]);
  };
  const rotate = (id: string) =>
    change.run(async () => {
      const params = { path: { id } };
      show(body(await api.POST("/api/v1/api-keys/{id}/rotate", { params })));
    });
  const revoke = (id: string) =>
    change.run(async () => {
      await api.DELETE("/api/v1/api-keys/{id}", { params: { path: { id } } });
      drop(id);
    });
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
            show(key);
          }}
          onCancel={() => setMaking(false)}
        />
      )}
      {made.map(({ key, api_key }) => (
        <ShownOnce
          key={key}
          title={t.access.madeTitle(api_key.name)}
          lead={t.access.madeLead}
          items={[{ label: t.access.key, text: key, copy: t.access.copyKey }]}
          onDone={() => drop(api_key.id)}
        />
      ))}
      {change.error !== null && <ErrorNote error={change.error} />}
      <Loaded query={list}>
        {(keys) => (
          <>
            <Rows label={t.access.keys} none={made.length === 0 && t.access.noKeys}>
              {keys.filter(isActive).map((key) => (
                <Row key={key.id} name={key.name} facts={<KeyFacts apiKey={key} />}>
                  <div className={rows.actions}>
                    {mayMake && (
                      <AskFirst
                        title={t.access.rotateTitle}
                        text={t.access.rotateText(key.name)}
                        action={t.access.rotateAction}
                        onConfirm={() => rotate(key.id)}
                      >
                        {(ask) => (
                          <IconButton
                            icon="rotate"
                            label={t.access.rotate(key.name)}
                            disabled={change.isPending}
                            onClick={ask}
                          />
                        )}
                      </AskFirst>
                    )}
                    <AskFirst
                      title={t.access.revokeTitle}
                      text={t.access.revokeText(key.name)}
                      action={t.access.revokeAction}
                      onConfirm={() => revoke(key.id)}
                    >
                      {(ask) => (
                        <IconButton
                          icon="trash"
                          label={t.access.revoke(key.name)}
                          disabled={change.isPending}
                          onClick={ask}
                        />
                      )}
                    </AskFirst>
                  </div>
                </Row>
              ))}
            </Rows>
            <EndedKeys keys={keys.filter((key) => !isActive(key))} />
          </>
        )}
      </Loaded>
      {list.hasNextPage && (
        <More disabled={list.isFetchingNextPage} onMore={() => list.fetchNextPage()} />
      )}
    </Section>
  );
}

function EndedKeys({ keys }: { keys: ApiKey[] }) {
  const { t } = useI18n();
  if (keys.length === 0) return null;
  return (
    <details className={rows.ended}>
      <summary>{t.access.endedKeys(keys.length)}</summary>
      <Rows label={t.access.endedKeys(keys.length)}>
        {keys.map((key) => (
          <Row key={key.id} name={key.name} facts={<KeyFacts apiKey={key} />} />
        ))}
      </Rows>
    </details>
  );
}

function KeyFacts({ apiKey }: { apiKey: ApiKey }) {
  const { language, t } = useI18n();
  const at = (time: string) => formatMoment(time, language);
  const { prefix, role, collections, requests_per_minute, tokens_per_day } = apiKey;
  const limits = [
    role && t.access.as(t.account.roles[role]),
    collections === null ? t.access.everything : t.access.only(collections.join(", ")),
    requests_per_minute && t.access.requests(requests_per_minute),
    tokens_per_day && t.access.tokens(tokens_per_day),
  ];
  const times = [
    t.access.made(at(apiKey.created_at)),
    apiKey.last_used_at ? t.access.used(at(apiKey.last_used_at)) : t.access.unused,
    endText(apiKey, t, at),
  ];
  return (
    <>
      <p className={rows.facts}>
        <code>{prefix}…</code> · {limits.filter(Boolean).join(" · ")}
      </p>
      <Facts of={times} />
    </>
  );
}

const isActive = (key: ApiKey) => keyState(key) === "active";

function endText(key: ApiKey, t: Messages, at: (time: string) => string): string {
  if (key.revoked_at !== null) return t.access.revokedAt(at(key.revoked_at));
  if (key.expires_at === null) return t.access.neverEnds;
  const time = at(key.expires_at);
  return keyState(key) === "expired" ? t.access.expiredAt(time) : t.access.endsAt(time);
}
