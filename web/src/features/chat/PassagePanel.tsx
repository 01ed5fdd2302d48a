import { useQuery } from "@tanstack/react-query";
import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "react";
import { documentTextQuery, downloadDocument } from "../../api/queries";
import type { Citation } from "../../api/types";
import { ErrorNote } from "../../components/ErrorNote";
import { Icon } from "../../components/Icon";
import { useI18n } from "../../i18n";
import type { CharRange } from "./byte-offsets";
import { citedVersion, locateQuote } from "./locate-quote";
import styles from "./PassagePanel.module.css";
import { placeOf } from "./place";

type Props = { citation: Citation; onClose: () => void };

/** The document behind a citation, open at the quote. Escape closes it. */
export function PassagePanel({ citation, onClose }: Props) {
  const { t } = useI18n();
  const titleId = useId();
  const heading = useRef<HTMLHeadingElement>(null);
  const text = useQuery(documentTextQuery(citation.document, citedVersion(citation)));
  const [downloadError, setDownloadError] = useState<unknown>(null);
  const title = citation.title || citation.source;

  // biome-ignore lint/correctness/useExhaustiveDependencies: another citation begins anew
  useEffect(() => {
    heading.current?.focus();
    setDownloadError(null);
  }, [citation]);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => event.key === "Escape" && onClose();
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [onClose]);

  return (
    <aside className={styles.panel} aria-labelledby={titleId}>
      <header className={styles.head}>
        <span className={styles.seal} aria-hidden="true">
          {citation.marker}
        </span>
        <div className={styles.names}>
          <h2 id={titleId} ref={heading} tabIndex={-1}>
            {title}
          </h2>
          {citation.source !== title && <p className={styles.place}>{citation.source}</p>}
          <p className={styles.place}>{placeOf(citation, t)}</p>
        </div>
        <button type="button" className="icon-button" aria-label={t.close} onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: without a mouse, a scrolled text needs the focus */}
      <section className={styles.scroll} aria-label={t.passage.title} tabIndex={0}>
        {text.isPending && <p className={styles.loading}>{t.passage.loading}</p>}
        {text.isError && (
          <>
            <ErrorNote error={text.error} onRetry={() => void text.refetch()} />
            <Quote citation={citation} />
          </>
        )}
        {text.data && (
          <Passage text={text.data.text} version={text.data.version} citation={citation} />
        )}
      </section>
      <footer className={styles.foot}>
        {downloadError !== null && <ErrorNote error={downloadError} />}
        <button
          type="button"
          className="button quiet"
          onClick={() =>
            void downloadDocument(citation.document, citation.source).catch(setDownloadError)
          }
        >
          <Icon name="download" />
          {t.passage.original}
        </button>
      </footer>
    </aside>
  );
}

/** How much text is drawn around the quote at first, and how much each "show more" adds. */
const AROUND = 4_000;
const MORE = 20_000;

type PassageProps = { text: string; version: number; citation: Citation };

function Passage({ text, version, citation }: PassageProps) {
  const { t } = useI18n();
  const range = useMemo(() => locateQuote(text, version, citation), [text, version, citation]);
  if (!range) {
    return (
      <>
        <p className={styles.moved}>{t.passage.moved}</p>
        <Quote citation={citation} />
      </>
    );
  }
  // The key makes each citation start from its own window.
  return <Window key={`${citation.chunk}:${range.start}`} text={text} range={range} />;
}

function Window({ text, range }: { text: string; range: CharRange }) {
  const { t } = useI18n();
  const quote = useRef<HTMLElement>(null);
  const [before, setBefore] = useState(AROUND);
  const [after, setAfter] = useState(AROUND);
  const start = lineStart(text, range.start - before);
  const end = lineEnd(text, range.end + after);
  useLayoutEffect(() => {
    quote.current?.scrollIntoView({ block: "center" });
  }, []);
  return (
    <>
      {start > 0 && (
        <button
          type="button"
          className={styles.more}
          onClick={() => setBefore((known) => known + MORE)}
        >
          {t.passage.earlier}
        </button>
      )}
      <div className={styles.text}>
        {text.slice(start, range.start)}
        <mark ref={quote}>{text.slice(range.start, range.end)}</mark>
        {text.slice(range.end, end)}
      </div>
      {end < text.length && (
        <button
          type="button"
          className={styles.more}
          onClick={() => setAfter((known) => known + MORE)}
        >
          {t.passage.later}
        </button>
      )}
    </>
  );
}

function Quote({ citation }: { citation: Citation }) {
  const { t } = useI18n();
  return (
    <figure className={styles.quote}>
      <figcaption>{t.passage.quote}</figcaption>
      <blockquote>{citation.quote}</blockquote>
    </figure>
  );
}

/** The start of the line at `index`, so that a window never begins inside a word. */
function lineStart(text: string, index: number): number {
  return index <= 0 ? 0 : text.lastIndexOf("\n", index) + 1;
}

function lineEnd(text: string, index: number): number {
  const end = index >= text.length ? -1 : text.indexOf("\n", index);
  return end < 0 ? text.length : end;
}
