import type { ReactNode } from "react";
import type { Answer, Citation, Feedback } from "../../api/types";
import { CopyButton } from "../../components/CopyButton";
import { ErrorNote } from "../../components/ErrorNote";
import { Icon } from "../../components/Icon";
import { useI18n } from "../../i18n";
import { AnswerText, DraftText } from "./AnswerText";
import type { OpenTurn } from "./asking";
import { FeedbackBar } from "./Feedback";
import { SourceList } from "./SourceList";
import styles from "./Turn.module.css";

type TurnProps = { question: string; children: ReactNode };

/** A question and what came of it, as an entry of a ledger. */
export function Turn({ question, children }: TurnProps) {
  return (
    <article>
      <h2 className={styles.question}>{question}</h2>
      <div className={styles.body}>{children}</div>
    </article>
  );
}

type AnswerProps = {
  question: string;
  answer: Answer;
  feedback: Feedback | null;
  active: Citation | null;
  onOpen: (citation: Citation) => void;
};

/** A finished answer: its text, its sources, and how it was made. */
export function AnswerView({ question, answer, feedback, active, onOpen }: AnswerProps) {
  const { t } = useI18n();
  const bar = <FeedbackBar question={question} answer={answer} given={feedback} />;
  if (answer.outcome === "no_evidence") {
    return (
      <>
        <NoEvidence />
        <Details answer={answer} />
        {bar}
      </>
    );
  }
  if (answer.outcome === "withdrawn") return <p className={styles.note}>{t.ask.withdrawn}</p>;
  return (
    <>
      <AnswerText
        text={answer.text}
        citations={answer.citations}
        flags={answer.flags}
        active={active}
        onOpen={onOpen}
      />
      {answer.mode === "extractive" && <p className={styles.note}>{t.ask.extractive}</p>}
      {answer.finish_reason === "length" && <p className={styles.note}>{t.ask.truncated}</p>}
      <SourceList citations={answer.citations} active={active} onOpen={onOpen} />
      <Details answer={answer} />
      {bar}
    </>
  );
}

type OpenTurnProps = { turn: OpenTurn; onAgain: () => void };

/** An answer on its way, or one that did not arrive. */
export function OpenTurnView({ turn, onAgain }: OpenTurnProps) {
  const { t } = useI18n();
  const running = turn.state === "searching" || turn.state === "writing";
  return (
    <div aria-busy={running}>
      {turn.text !== "" && <DraftText text={turn.text} nHits={turn.hits.length} />}
      {running && <Progress turn={turn} />}
      {turn.state === "stopped" && (
        <p className={styles.note}>{turn.text === "" ? t.ask.stoppedEmpty : t.ask.stopped}</p>
      )}
      {turn.state === "stopped" && (
        <button type="button" className={`button quiet ${styles.again}`} onClick={onAgain}>
          {t.ask.again}
        </button>
      )}
      {turn.state === "failed" && (
        <div className={styles.failure}>
          <ErrorNote heading={t.ask.failed} error={turn.error} onRetry={onAgain} />
        </div>
      )}
    </div>
  );
}

function Progress({ turn }: { turn: OpenTurn }) {
  const { t } = useI18n();
  const words =
    turn.state === "searching"
      ? t.ask.searching
      : turn.text === ""
        ? t.ask.reading(turn.hits.length)
        : t.ask.writing;
  return (
    <p className={styles.progress}>
      <span className={styles.brush} aria-hidden="true" />
      {words}
      {turn.text !== "" && <span className={styles.unverified}>{t.ask.checking}</span>}
    </p>
  );
}

function NoEvidence() {
  const { t } = useI18n();
  return (
    <section className={styles.noEvidence}>
      <svg viewBox="0 0 48 48" aria-hidden="true" focusable="false">
        <path d="M8 40V14l16-9 16 9v26M14 22h20M14 30h20M14 38h20M14 22v16M34 22v16" />
      </svg>
      <div>
        <h3>{t.ask.noEvidenceTitle}</h3>
        <p>{t.ask.noEvidence}</p>
      </div>
    </section>
  );
}

function Details({ answer }: { answer: Answer }) {
  const { language, t } = useI18n();
  const { usage, timings_ms, flags } = answer;
  const grounded = answer.outcome === "grounded";
  const number = new Intl.NumberFormat(language);
  const rows: [string, string][] = [
    ...(answer.generator ? [[t.ask.detail.generator, answer.generator] as [string, string]] : []),
    ...(["retrieve", "first_token", "generate", "verify", "total"] as const).flatMap((name) => {
      const value = timings_ms[name];
      if (value === null || value === undefined || (value === 0 && name !== "total")) return [];
      return [[t.ask.detail[name], duration(value, language)] as [string, string]];
    }),
  ];
  if (usage.prompt_tokens > 0) {
    const cached = usage.cached_tokens > 0 ? ` (${t.ask.detail.cached(usage.cached_tokens)})` : "";
    rows.push([t.ask.detail.prompt, number.format(usage.prompt_tokens) + cached]);
    rows.push([t.ask.detail.completion, number.format(usage.completion_tokens)]);
  }
  return (
    <div className={styles.foot}>
      <details className={styles.details}>
        <summary>
          <Icon name="chevron" />
          {t.ask.details}
          <span className={styles.total}>{duration(timings_ms.total, language)}</span>
          {flags.length > 0 && (
            <span className={styles.flags}>
              <Icon name="warning" />
              {t.ask.flagNote(flags.length)}
            </span>
          )}
        </summary>
        <dl>
          {rows.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </details>
      {grounded && <CopyButton text={answer.text} label={t.ask.copy} />}
    </div>
  );
}

function duration(ms: number, language: string): string {
  const [value, unit] = ms < 1000 ? [ms, "millisecond"] : [ms / 1000, "second"];
  return new Intl.NumberFormat(language, {
    style: "unit",
    unit,
    unitDisplay: "short",
    maximumFractionDigits: ms < 1000 ? 0 : 1,
  }).format(value);
}
