import type { ApiKey, UserRole } from "../../api/types";

export type KeyState = "active" | "expired" | "revoked";

export function keyState(key: ApiKey, now = new Date()): KeyState {
  if (key.revoked_at !== null) return "revoked";
  return key.expires_at !== null && new Date(key.expires_at) <= now ? "expired" : "active";
}

/** How long a key is good for; `custom` until the end of a day that is named. */
export type Lifetime = "30" | "90" | "365" | "never" | "custom";

export const LIFETIMES: Lifetime[] = ["30", "90", "365", "never", "custom"];

/** When a key ends: `null` never, `undefined` where the day that was typed is none or over. */
export function endOf(
  lifetime: Lifetime,
  day: string,
  now = new Date(),
): string | null | undefined {
  switch (lifetime) {
    case "never":
      return null;
    case "custom": {
      // The last moment of that day, where the person is.
      const end = new Date(`${day}T23:59:59`);
      return end > now ? end.toISOString() : undefined;
    }
    default:
      return new Date(now.getTime() + Number(lifetime) * 86_400_000).toISOString();
  }
}

/** The roles that allow less than this one; a key may be held to one of them. */
export function lesserRoles(role: UserRole): UserRole[] {
  return role === "admin" || role === "editor" ? ["reader"] : [];
}

/** A number of 1 or more as typed: `null` where nothing is, `undefined` where it is none. */
export function countOf(typed: string): number | null | undefined {
  const text = typed.trim().normalize("NFKC");
  if (text === "") return null;
  const n = Number(text);
  return /^\d+$/.test(text) && n >= 1 && Number.isSafeInteger(n) ? n : undefined;
}
