import { describe, expect, it } from "vitest";
import { answerFrom, byteSpan, createCorpus, reply } from "../../test/corpus";
import { locateQuote } from "./locate-quote";

function sample() {
  const { entries } = createCorpus();
  const { answer } = answerFrom(reply("有給休暇", entries), "a", "c");
  const [citation] = answer.citations;
  const text = entries[0]?.text;
  if (!citation || !text) throw new Error("the corpus has no citation");
  return { citation, text };
}

describe("locating a quote", () => {
  it("takes the byte span in the version that was cited", () => {
    const { citation, text } = sample();
    const range = locateQuote(text, 1, citation);
    expect(range && text.slice(range.start, range.end)).toBe(citation.quote);
  });

  it("trusts the span in that version even where the quote was tidied", () => {
    const { citation, text } = sample();
    const tidied = { ...citation, quote: `${citation.quote} ` };
    const range = locateQuote(text, 1, tidied);
    expect(range && text.slice(range.start, range.end)).toBe(citation.quote);
  });

  it("finds the same words where another version has moved them", () => {
    const { citation, text } = sample();
    const newer = `改訂版\n\n${text}`;
    const range = locateQuote(newer, 2, citation);
    expect(range && newer.slice(range.start, range.end)).toBe(citation.quote);
  });

  it("finds nothing where another version no longer says it", () => {
    const { citation } = sample();
    expect(locateQuote("全面改訂。".repeat(200), 2, citation)).toBeNull();
  });

  it("does not take an empty quote for a place", () => {
    const { citation, text } = sample();
    const empty = { ...citation, quote: "", quote_span: byteSpan("", "") };
    expect(locateQuote(text, 2, empty)).toEqual({ start: 0, end: 0 });
    expect(locateQuote(text, 2, { ...empty, quote_span: { start: 1, end: 1e9 } })).toBeNull();
  });
});
