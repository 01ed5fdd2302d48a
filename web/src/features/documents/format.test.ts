import { describe, expect, it } from "vitest";
import { formatSize } from "./format";

describe("sizes", () => {
  it.each([
    [0, "0 bytes"],
    [999, "999 bytes"],
    [1_000, "1 kB"],
    [1_550, "1.6 kB"],
    [123_456_789, "123 MB"],
    [5e12, "5,000 GB"],
  ])("writes %i bytes as %s", (bytes, text) => {
    expect(formatSize(bytes, "en")).toBe(text);
  });
});
