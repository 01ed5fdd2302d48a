import type { Span } from "../../api/types";

/** A range of UTF-16 code units, as `String.prototype.slice` takes it. */
export type CharRange = { start: number; end: number };

/**
 * Converts byte spans of a text's UTF-8 form into ranges of the string, in the order given.
 * A span that is not within the text, or that cuts a character, gives `null`.
 */
export function toCharRanges(text: string, spans: Span[]): (CharRange | null)[] {
  const indexes = charIndexes(text, new Set(spans.flatMap(({ start, end }) => [start, end])));
  return spans.map((span) => {
    const start = indexes.get(span.start);
    const end = indexes.get(span.end);
    return start === undefined || end === undefined || end < start ? null : { start, end };
  });
}

/** Where each of the byte offsets lies in the string; offsets inside a character are left out. */
function charIndexes(text: string, offsets: Set<number>): Map<number, number> {
  const indexes = new Map<number, number>();
  let byte = 0;
  let index = 0;
  for (const char of text) {
    if (offsets.has(byte)) indexes.set(byte, index);
    byte += utf8Length(char.codePointAt(0) ?? 0);
    index += char.length;
  }
  if (offsets.has(byte)) indexes.set(byte, index);
  return indexes;
}

function utf8Length(codePoint: number): number {
  if (codePoint < 0x80) return 1;
  if (codePoint < 0x800) return 2;
  return codePoint < 0x10000 ? 3 : 4;
}
