/**
 * The API key of this tab.
 * It lives in `sessionStorage`: it survives a reload and is gone when the tab is closed.
 */
import { useSyncExternalStore } from "react";

const STORAGE_KEY = "kura.api-key";

/** Why the key is asked for: first visit, the person left, or the server refused the key. */
export type SignedOutReason = "none" | "refused";

type Session = { apiKey: string | null; reason: SignedOutReason };

let session: Session = { apiKey: sessionStorage.getItem(STORAGE_KEY), reason: "none" };
const listeners = new Set<() => void>();

export function currentKey(): string | null {
  return session.apiKey;
}

export function signIn(apiKey: string) {
  sessionStorage.setItem(STORAGE_KEY, apiKey);
  publish({ apiKey, reason: "none" });
}

export function signOut(reason: SignedOutReason = "none") {
  sessionStorage.removeItem(STORAGE_KEY);
  publish({ apiKey: null, reason });
}

export function useSession(): Session {
  return useSyncExternalStore(subscribe, () => session);
}

function publish(next: Session) {
  session = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
