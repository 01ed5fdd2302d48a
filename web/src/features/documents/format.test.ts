import { describe, expect, it } from "vitest";
import { formatSize, formatTime } from "./format";

describe("sizes and times", () => {
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

  it("gives the time of today and the date of other days", () => {
    const now = new Date(2026, 10, 21, 15, 0);
    expect(formatTime(new Date(2026, 10, 21, 9, 5).toISOString(), "ja", now)).toBe("9:05");
    expect(formatTime(new Date(2026, 10, 20, 9, 5).toISOString(), "ja", now)).toBe("2026/11/20");
  });
});
