import { describe, expect, it } from "vitest";
import type { ApiKey } from "../../api/types";
import { countOf, endOf, keyState, lesserRoles } from "./keys";

const now = new Date("2026-11-30T12:00:00Z");
const key = { revoked_at: null, expires_at: null } as ApiKey;

describe("keys", () => {
  it("are active until they end or are revoked", () => {
    expect(keyState(key, now)).toBe("active");
    expect(keyState({ ...key, expires_at: "2026-11-30T12:00:01Z" }, now)).toBe("active");
    expect(keyState({ ...key, expires_at: "2026-11-30T12:00:00Z" }, now)).toBe("expired");
    const revoked_at = "2026-11-01T00:00:00Z";
    expect(keyState({ ...key, revoked_at, expires_at: "2026-11-02T00:00:00Z" }, now)).toBe(
      "revoked",
    );
  });

  it("end after days, at the end of a day, or never", () => {
    expect(endOf("30", "", now)).toBe("2026-12-30T12:00:00.000Z");
    expect(endOf("365", "", now)).toBe("2027-11-30T12:00:00.000Z");
    expect(endOf("never", "2026-12-01", now)).toBeNull();
    const end = new Date(endOf("custom", "2026-12-24", now) ?? "");
    expect([end.getMonth(), end.getDate(), end.getHours()]).toEqual([11, 24, 23]);
  });

  it("do not end on days that are over or none", () => {
    for (const day of ["", "2026-11-28", "2026-02-31x", "tomorrow"]) {
      expect(endOf("custom", day, now)).toBeUndefined();
    }
  });

  it("allow less than their owner may, or the same", () => {
    expect(lesserRoles("admin")).toEqual(["reader"]);
    expect(lesserRoles("reader")).toEqual([]);
    expect(lesserRoles("auditor")).toEqual([]);
  });

  it("have limits that are whole numbers, however they are typed", () => {
    expect(countOf("  ")).toBeNull();
    expect(countOf(" 60 ")).toBe(60);
    expect(countOf("１２００")).toBe(1200);
    for (const wrong of ["0", "-1", "1.5", "1e3", "many", "99999999999999999"]) {
      expect(countOf(wrong)).toBeUndefined();
    }
  });
});
