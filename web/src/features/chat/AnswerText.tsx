import { createContext, useContext, useMemo } from "react";
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
  const behind = useMemo(
    () => ({ citations, spans, active, onOpen }),
    [citations, spans, active, onOpen],
  );
  return (
    <div className={styles.text}>
      <Behind value={behind}>
        <Markdown
          remarkPlugins={[remarkGfm, [remarkAnswer, { markers, ranges }]]}
          components={VERIFIED}
        >
          {text}
        </Markdown>
      </Behind>
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

/** Keeps a marker on the line of the sentence before it. */
const WORD_JOINER = "\u2060";

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

/** What the markers of one answer stand for; a context, so that the buttons outlive each change. */
type WhatIsBehind = Pick<Props, "citations" | "active" | "onOpen"> & {
  spans: (CharRange | null)[];
};

const Behind = createContext<WhatIsBehind>({
  citations: [],
  spans: [],
  active: null,
  onOpen: () => undefined,
});

const VERIFIED: Components = {
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
  button: ({ value, name }) => <Marker marker={Number(value)} offset={Number(name)} />,
};

function Marker({ marker, offset }: { marker: number; offset: number }) {
  const { t } = useI18n();
  const { citations, spans, active, onOpen } = useContext(Behind);
  const citation = citationAt(citations, spans, marker, offset);
  if (!citation) return `[${marker}]`;
  return (
    <>
      {WORD_JOINER}
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
    </>
  );
}

const DRAFT: Components = {
  ...PLAIN,
  button: ({ value }) => (
    <>
      {WORD_JOINER}
      <span className={styles.marker}>{value}</span>
    </>
  ),
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
    ranges.push({ ...span, attributes: { dataFlag: flag.kind }, note: t.ask.flags[flag.kind] });
  }
  const span = active ? spans[citations.indexOf(active)] : null;
  if (span) ranges.push({ ...span, attributes: { dataActive: "true" } });
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
