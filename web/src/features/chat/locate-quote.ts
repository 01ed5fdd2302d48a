import type { Citation } from "../../api/types";
import { type CharRange, toCharRanges } from "./byte-offsets";

/**
 * Finds a citation's quote in the text of its document.
 * The span counts when it was made for this version; in another version only the same words do.
 */
export function locateQuote(text: string, version: number, citation: Citation): CharRange | null {
  const [range] = toCharRanges(text, [citation.quote_span]);
  if (range && citedVersion(citation) === String(version)) return range;
  if (range && text.slice(range.start, range.end) === citation.quote) return range;
  const start = citation.quote === "" ? -1 : text.indexOf(citation.quote);
  return start < 0 ? null : { start, end: start + citation.quote.length };
}

/** The document version that a citation was made from: the middle part of its chunk id. */
export function citedVersion(citation: Citation): string {
  return citation.chunk.split(":")[1] ?? "";
}
