import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../../api/client";
import { identityKeys, sessionsQuery, useChange } from "../../api/identity";
import type { UserSession } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import { Icon } from "../../components/Icon";
import { Section } from "../../components/Page";
import rows from "../../components/Rows.module.css";
import { useI18n } from "../../i18n";
import { formatMoment } from "../../i18n/time";
import { describeBrowser } from "./browser";

type Props = {
  /** Whose sessions: a login, or `null` for one's own. */
  owner: string | null;
  lead: string;
};

/** The browsers in which someone is signed in, each of which can be signed out. */
export function SessionList({ owner, lead }: Props) {
  const { language, t } = useI18n();
  const list = useQuery(sessionsQuery(owner));
  const [asking, setAsking] = useState<UserSession | "all" | null>(null);
  const end = useChange(async (session: UserSession | "all") => {
    if (session === "all") {
      const query = owner === null ? {} : { user: owner };
      await api.DELETE("/api/v1/sessions", { params: { query } });
    } else {
      await api.DELETE("/api/v1/sessions/{id}", { params: { path: { id: session.id } } });
    }
  }, identityKeys.sessions(owner));
  const sessions = list.data ?? [];
  const others = sessions.filter(({ current }) => !current);
  const nameOf = ({ user_agent }: UserSession) =>
    describeBrowser(user_agent) || t.access.unknownBrowser;
  const all = owner === null ? t.access.endOthers : t.access.endAll;
  const allTitle = owner === null ? t.access.endOthersTitle : t.access.endAllTitle;
  const labelOf = (session: UserSession) =>
    t.access.end(nameOf(session), formatMoment(session.created_at, language));
  return (
    <Section
      title={t.access.sessions}
      lead={lead}
      action={
        others.length > 0 && (
          <button
            type="button"
            className="button quiet"
            disabled={end.isPending}
            onClick={() => setAsking("all")}
          >
            <Icon name="leave" />
            {all}
          </button>
        )
      }
    >
      {end.isError && <ErrorNote error={end.error} />}
      {list.isPending && <p className={rows.note}>{t.loading}</p>}
      {list.isError && <ErrorNote error={list.error} onRetry={() => void list.refetch()} />}
      {list.isSuccess && sessions.length === 0 && (
        <p className={rows.note}>{t.access.noSessions}</p>
      )}
      <ul className={rows.rows} aria-label={t.access.sessions}>
        {sessions.map((session) => (
          <li key={session.id}>
            <div className={rows.what}>
              <h3 className={rows.name}>{nameOf(session)}</h3>
              <p className={rows.facts}>
                {[
                  t.access.began(formatMoment(session.created_at, language)),
                  t.access.seen(formatMoment(session.seen_at, language)),
                  t.access.endsAt(formatMoment(session.expires_at, language)),
                ].join(" · ")}
              </p>
            </div>
            {session.current ? (
              <span className={rows.badge} data-tone="accent">
                {t.access.here}
              </span>
            ) : (
              <button
                type="button"
                className="icon-button"
                aria-label={labelOf(session)}
                title={labelOf(session)}
                disabled={end.isPending}
                onClick={() => setAsking(session)}
              >
                <Icon name="leave" />
              </button>
            )}
          </li>
        ))}
      </ul>
      {asking && (
        <ConfirmDialog
          title={asking === "all" ? allTitle : t.access.endTitle}
          text={asking === "all" ? t.access.endAllText : t.access.endText(nameOf(asking))}
          action={t.access.endAction}
          onConfirm={() => end.mutate(asking)}
          onClose={() => setAsking(null)}
        />
      )}
    </Section>
  );
}
