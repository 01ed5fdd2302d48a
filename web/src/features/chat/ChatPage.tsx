import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";
import { Link, useMatch } from "react-router";
import { ApiError } from "../../api/errors";
import { collectionsQuery, conversationQuery } from "../../api/queries";
import type { Answer, Citation, ConversationDetail, Feedback } from "../../api/types";
import { ErrorNote } from "../../components/ErrorNote";
import { KuraMark } from "../../components/KuraMark";
import { useI18n } from "../../i18n";
import { useAsking } from "./asking";
import styles from "./ChatPage.module.css";
import { Composer } from "./Composer";
import { PassagePanel } from "./PassagePanel";
import { AnswerView, OpenTurnView, Turn } from "./Turn";

/** One conversation, new or continued: its turns, the question box, and the open passage. */
export function ChatPage() {
  const { t } = useI18n();
  const id = useMatch("/c/:conversation")?.params.conversation ?? null;
  const conversation = useQuery({ ...conversationQuery(id ?? ""), enabled: id !== null });
  const collections = useQuery(collectionsQuery);
  const [collection, setCollection] = useState<string | null>(null);
  const { turnOf, isRunning, askQuestion, stop } = useAsking();
  const open = turnOf(id);
  const running = isRunning(id);
  const passage = usePassage(id);
  const turns = pairUp(conversation.data);
  const empty = id === null && open === null;
  const nTurns = turns.length + (open ? 1 : 0);
  const last = useShowLast(nTurns, open?.question ?? "", id);

  useEffect(() => {
    document.title = conversation.data?.title ? `${conversation.data.title} — kura` : "kura";
  }, [conversation.data?.title]);

  const ask = (question: string) => askQuestion(id, question, collection ? [collection] : null);
  const composer = (
    <Composer
      key={id ?? "new"}
      collections={collections.data ?? []}
      collection={collection}
      onCollection={setCollection}
      followUp={!empty}
      running={running}
      onAsk={ask}
      onStop={() => stop(id)}
    />
  );

  return (
    <div className={styles.page} data-passage={passage.citation !== null}>
      <Announcer running={running} failed={open?.state === "failed"} />
      {empty ? (
        <div className={styles.start}>
          <KuraMark className={styles.mark} />
          <h1>{t.ask.title}</h1>
          <p className={styles.lead}>{t.ask.lead}</p>
          {composer}
          {collections.isError && <ErrorNote error={collections.error} />}
          {collections.data?.every(({ n_documents }) => n_documents === 0) && (
            <p className={styles.none}>
              {t.ask.noDocuments} <Link to="/documents">{t.ask.addDocuments}</Link>
            </p>
          )}
        </div>
      ) : (
        <div className={styles.talk}>
          <div className={styles.scroll}>
            <div className={styles.column}>
              <h1 className="visually-hidden">{conversation.data?.title ?? t.ask.title}</h1>
              {conversation.isError && (
                <ErrorNote
                  error={conversation.error}
                  {...(isGone(conversation.error)
                    ? { heading: t.past.gone }
                    : { onRetry: () => void conversation.refetch() })}
                />
              )}
              {conversation.isLoading && <p className={styles.loading}>{t.loading}</p>}
              {turns.map(({ id: turnId, question, answer, feedback }, index) => (
                <div key={turnId} className={styles.turn} ref={index === nTurns - 1 ? last : null}>
                  <Turn question={question}>
                    {!answer && <p className={styles.loading}>{t.ask.stoppedEmpty}</p>}
                    {answer && (
                      <AnswerView
                        question={question}
                        answer={answer}
                        feedback={feedback}
                        active={passage.citation}
                        onOpen={passage.show}
                      />
                    )}
                  </Turn>
                </div>
              ))}
              {open && (
                <div className={styles.turn} ref={last}>
                  <Turn question={open.question}>
                    <OpenTurnView
                      turn={open}
                      onAgain={() => askQuestion(id, open.question, open.collections)}
                    />
                  </Turn>
                </div>
              )}
            </div>
          </div>
          <div className={styles.dock}>{composer}</div>
        </div>
      )}
      {passage.citation && <PassagePanel citation={passage.citation} onClose={passage.close} />}
    </div>
  );
}

/** Tells a screen reader that an answer begins and ends, and not every word of it. */
function Announcer({ running, failed }: { running: boolean; failed: boolean }) {
  const { t } = useI18n();
  const [wasRunning, setWasRunning] = useState(false);
  useEffect(() => {
    if (running) setWasRunning(true);
  }, [running]);
  const words = running ? t.ask.writing : wasRunning && !failed ? t.ask.ready : "";
  return (
    <p className="visually-hidden" role="status">
      {words}
    </p>
  );
}

/** The open citation; closing it gives the focus back to what opened it. */
function usePassage(conversation: string | null) {
  const [citation, setCitation] = useState<Citation | null>(null);
  const opener = useRef<Element | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another conversation has other citations
  useEffect(() => setCitation(null), [conversation]);
  const show = useCallback((next: Citation) => {
    opener.current = document.activeElement;
    setCitation(next);
  }, []);
  const close = useCallback(() => {
    setCitation(null);
    if (opener.current instanceof HTMLElement) opener.current.focus();
  }, []);
  return { citation, show, close };
}

/** Brings the last turn to the top when there is a new one; after that the page stays put. */
function useShowLast(nTurns: number, question: string, conversation: string | null) {
  const last = useRef<HTMLDivElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: these say that there is a new turn
  useLayoutEffect(() => {
    last.current?.scrollIntoView({ block: "start" });
  }, [nTurns, question !== "", conversation]);
  return last;
}

type Exchange = {
  id: string;
  question: string;
  answer: Answer | null;
  feedback: Feedback | null;
};

function pairUp(conversation: ConversationDetail | undefined): Exchange[] {
  const turns: Exchange[] = [];
  for (const message of conversation?.messages ?? []) {
    const last = turns.at(-1);
    if (message.role === "user") {
      turns.push({
        id: message.created_at,
        question: message.content,
        answer: null,
        feedback: null,
      });
    } else if (last && message.answer) {
      last.answer = message.answer;
      last.feedback = message.feedback;
    }
  }
  return turns;
}

function isGone(error: unknown): boolean {
  return error instanceof ApiError && error.status === 404;
}
