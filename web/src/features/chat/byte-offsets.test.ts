import { describe, expect, it } from "vitest";
import { byteSpan } from "../../test/corpus";
import { toCharRanges } from "./byte-offsets";

describe("byte spans as string ranges", () => {
  it.each([
    ["plain text", "text"],
    ["年次有給休暇は10日", "10日"],
    ["café au lait", "au"],
    ["𠮷田さんの🏯は蔵です", "蔵"],
    ["𠮷田", "𠮷田"],
    ["文", ""],
  ])("finds in %j the part %j", (text, part) => {
    const [range] = toCharRanges(text, [byteSpan(text, part)]);
    expect(range && text.slice(range.start, range.end)).toBe(part);
    expect(range?.start).toBe(text.indexOf(part));
  });

  it("converts several spans, in the order given", () => {
    const text = "一二三";
    const spans = [byteSpan(text, "三"), byteSpan(text, "一")];
    expect(toCharRanges(text, spans)).toEqual([
      { start: 2, end: 3 },
      { start: 0, end: 1 },
    ]);
  });

  it.each([
    ["cuts a character", { start: 1, end: 3 }],
    ["is past the end", { start: 0, end: 99 }],
    ["runs backwards", { start: 3, end: 0 }],
  ])("gives nothing for a span that %s", (_, span) => {
    expect(toCharRanges("蔵書", [span])).toEqual([null]);
  });
});
