import { describe, expect, it } from "vitest";
import { formatMoment, formatTime } from "./time";

describe("times", () => {
  it("gives the time of today and the date of other days", () => {
    const now = new Date(2026, 10, 21, 15, 0);
    expect(formatTime(new Date(2026, 10, 21, 9, 5).toISOString(), "ja", now)).toBe("9:05");
    expect(formatTime(new Date(2026, 10, 20, 9, 5).toISOString(), "ja", now)).toBe("2026/11/20");
  });

  it("gives day and time of a moment", () => {
    const time = new Date(2026, 10, 21, 9, 5).toISOString();
    expect(formatMoment(time, "ja")).toBe("2026/11/21 9:05");
    expect(formatMoment(time, "en")).toMatch(/^Nov 21, 2026, 9:05\sAM$/);
  });
});
