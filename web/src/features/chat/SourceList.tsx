import type { Citation } from "../../api/types";
import { useI18n } from "../../i18n";
import { placeOf } from "./place";
import styles from "./SourceList.module.css";

type Props = {
  citations: Citation[];
  active: Citation | null;
  onOpen: (citation: Citation) => void;
};

/** The sources of an answer, one per marker, each opening its passage. */
export function SourceList({ citations, active, onOpen }: Props) {
  const { t } = useI18n();
  const sources = firstOfEachMarker(citations);
  if (sources.length === 0) return null;
  return (
    <section className={styles.sources} aria-label={t.ask.sources}>
      <h3>{t.ask.sources}</h3>
      <ol>
        {sources.map((citation) => (
          <li key={citation.marker}>
            <button
              type="button"
              className={styles.source}
              aria-pressed={citation.marker === active?.marker}
              onClick={() => onOpen(citation)}
            >
              <span className={styles.seal}>{citation.marker}</span>
              <span className={styles.what}>
                <span className={styles.title}>{citation.title || citation.source}</span>
                <span className={styles.place}>{placeOf(citation, t)}</span>
                <span className={styles.quote}>{citation.quote}</span>
              </span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}

function firstOfEachMarker(citations: Citation[]): Citation[] {
  const seen = new Map<number, Citation>();
  for (const citation of citations) {
    if (!seen.has(citation.marker)) seen.set(citation.marker, citation);
  }
  return [...seen.values()].sort((a, b) => a.marker - b.marker);
}
