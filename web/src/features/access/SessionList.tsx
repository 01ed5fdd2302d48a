import { useQuery } from "@tanstack/react-query";
import { useChange } from "../../api/change";
import { api } from "../../api/client";
import { identityKeys, sessionsQuery } from "../../api/identity";
import type { UserSession } from "../../api/types";
import { AskFirst } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import { Icon } from "../../components/Icon";
import { IconButton } from "../../components/IconButton";
import { Loaded } from "../../components/Loaded";
import { Section } from "../../components/Page";
import { Badge, Facts, Row, Rows } from "../../components/Rows";
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
  const { t } = useI18n();
  const list = useQuery(sessionsQuery(owner));
  const change = useChange(identityKeys.sessions(owner));
  const end = (id: string) =>
    change.run(() => api.DELETE("/api/v1/sessions/{id}", { params: { path: { id } } }));
  const endAll = () => {
    const query = owner === null ? {} : { user: owner };
    return change.run(() => api.DELETE("/api/v1/sessions", { params: { query } }));
  };
  const hasOthers = list.data?.some(({ current }) => !current);
  return (
    <Section
      title={t.access.sessions}
      lead={lead}
      action={
        hasOthers && (
          <AskFirst
            title={owner === null ? t.access.endOthersTitle : t.access.endAllTitle}
            text={t.access.endAllText}
            action={t.access.endAction}
            onConfirm={endAll}
          >
            {(ask) => (
              <button
                type="button"
                className="button quiet"
                disabled={change.isPending}
                onClick={ask}
              >
                <Icon name="leave" />
                {owner === null ? t.access.endOthers : t.access.endAll}
              </button>
            )}
          </AskFirst>
        )
      }
    >
      {change.error !== null && <ErrorNote error={change.error} />}
      <Loaded query={list}>
        {(sessions) => (
          <Rows label={t.access.sessions} none={t.access.noSessions}>
            {sessions.map((session) => (
              <SessionRow
                key={session.id}
                session={session}
                isBusy={change.isPending}
                onEnd={() => end(session.id)}
              />
            ))}
          </Rows>
        )}
      </Loaded>
    </Section>
  );
}

type RowProps = { session: UserSession; isBusy: boolean; onEnd: () => void };

function SessionRow({ session, isBusy, onEnd }: RowProps) {
  const { language, t } = useI18n();
  const at = (time: string) => formatMoment(time, language);
  const name = describeBrowser(session.user_agent) || t.access.unknownBrowser;
  return (
    <Row
      name={name}
      facts={
        <Facts
          of={[
            t.access.began(at(session.created_at)),
            t.access.seen(at(session.seen_at)),
            t.access.endsAt(at(session.expires_at)),
          ]}
        />
      }
    >
      {session.current ? (
        <Badge tone="accent">{t.access.here}</Badge>
      ) : (
        <AskFirst
          title={t.access.endTitle}
          text={t.access.endText(name)}
          action={t.access.endAction}
          onConfirm={onEnd}
        >
          {(ask) => (
            <IconButton
              icon="leave"
              label={t.access.end(name, at(session.created_at))}
              disabled={isBusy}
              onClick={ask}
            />
          )}
        </AskFirst>
      )}
    </Row>
  );
}
