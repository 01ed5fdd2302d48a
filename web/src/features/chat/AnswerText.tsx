import { useMemo } from "react";
import Markdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import type { Citation, Flag } from "../../api/types";
import { Icon } from "../../components/Icon";
import { type Messages, useI18n } from "../../i18n";
import styles from "./AnswerText.module.css";
import { type CharRange, toCharRanges } from "./byte-offsets";
import { type MarkedRange, remarkAnswer } from "./remark-answer";

type Props = {
  text: string;
  citations: Citation[];
  flags: Flag[];
  active: Citation | null;
  onOpen: (citation: Citation) => void;
};

/** The verified text of an answer: Markdown with its markers as buttons and its doubts marked. */
export function AnswerText({ text, citations, flags, active, onOpen }: Props) {
  const { t } = useI18n();
  const { spans, ranges } = useMemo(
    () => measure(text, citations, flags, active, t),
    [text, citations, flags, active, t],
  );
  const markers = useMemo(() => new Set(citations.map(({ marker }) => marker)), [citations]);
  const components = useMemo<Components>(
    () => ({
      ...PLAIN,
      mark: ({ node, children }) => (
        <span
          className={styles.range}
          data-flag={node?.properties.dataFlag}
          data-active={node?.properties.dataActive}
        >
          {children}
        </span>
      ),
      i: ({ title }) => (
        <span className={styles.flag} role="img" aria-label={title} title={title}>
          <Icon name="warning" />
        </span>
      ),
      button: ({ value, name }) => {
        const citation = citationAt(citations, spans, Number(value), Number(name));
        if (!citation) return `[${value}]`;
        return (
          <button
            type="button"
            className={styles.marker}
            aria-label={t.ask.citation(citation.marker, citation.title)}
            aria-pressed={citation === active}
            title={citation.title}
            onClick={() => onOpen(citation)}
          >
            {citation.marker}
          </button>
        );
      },
    }),
    [citations, spans, active, onOpen, t],
  );
  return (
    <div className={styles.text}>
      <Markdown
        remarkPlugins={[remarkGfm, [remarkAnswer, { markers, ranges }]]}
        components={components}
      >
        {text}
      </Markdown>
    </div>
  );
}

/** The text as the model writes it: its markers are shown, but nothing stands behind them yet. */
export function DraftText({ text, nHits }: { text: string; nHits: number }) {
  const markers = useMemo(
    () => new Set(Array.from({ length: nHits }, (_, index) => index + 1)),
    [nHits],
  );
  return (
    <div className={styles.text} data-draft="true">
      <Markdown
        remarkPlugins={[remarkGfm, [remarkAnswer, { markers, ranges: [] }]]}
        components={DRAFT}
      >
        {text}
      </Markdown>
    </div>
  );
}

const PLAIN: Components = {
  // Followed only by a person's click, and without telling where from.
  a: ({ href, children }) =>
    href && /^(https?|mailto):/i.test(href) ? (
      <a href={href} target="_blank" rel="noreferrer noopener nofollow" title={href}>
        {children}
      </a>
    ) : (
      children
    ),
  table: ({ children }) => (
    <div className={styles.table}>
      <table>{children}</table>
    </div>
  ),
  img: ({ alt }) => <>{alt}</>,
};

const DRAFT: Components = {
  ...PLAIN,
  button: ({ value }) => <span className={styles.marker}>{value}</span>,
};

function measure(
  text: string,
  citations: Citation[],
  flags: Flag[],
  active: Citation | null,
  t: Messages,
): { spans: (CharRange | null)[]; ranges: MarkedRange[] } {
  const spans = toCharRanges(
    text,
    [...citations, ...flags].map((item) => item.answer_span),
  );
  const ranges: MarkedRange[] = [];
  for (const [i, flag] of flags.entries()) {
    const span = spans[citations.length + i];
    if (!span) continue;
    ranges.push({ ...span, attributes: { "data-flag": flag.kind }, note: t.ask.flags[flag.kind] });
  }
  const span = active ? spans[citations.indexOf(active)] : null;
  if (span) ranges.push({ ...span, attributes: { "data-active": "true" } });
  return { spans: spans.slice(0, citations.length), ranges };
}

/** The citation that a marker stands for: of those with its number, the last begun before it. */
function citationAt(
  citations: Citation[],
  spans: (CharRange | null)[],
  marker: number,
  offset: number,
): Citation | undefined {
  const numbered = citations.filter((citation) => citation.marker === marker);
  const before = numbered.filter((citation) => {
    const span = spans[citations.indexOf(citation)];
    return span && span.start <= offset;
  });
  return before.at(-1) ?? numbered[0];
}
