/**
 * Who is signed in, in this tab.
 * A person has a session, in a cookie that no script can read.
 * An API key lives in `sessionStorage`: it survives a reload and is gone when the tab is closed.
 */
import { useSyncExternalStore } from "react";
import type { Account, Permission } from "./types";

const STORAGE_KEY = "kura.api-key";

/** Why one has to sign in: first visit or the person left, or the server no longer takes the key or the session. */
export type SignedOutReason = "none" | "refused" | "ended";

export type Session =
  /** The server has still to say whether the key or the cookie that is there holds. */
  | { state: "resuming"; apiKey: string | null }
  | { state: "out"; reason: SignedOutReason }
  /** Without a key the cookie says who one is. */
  | { state: "in"; apiKey: string | null; account: Account };

let session: Session = { state: "resuming", apiKey: sessionStorage.getItem(STORAGE_KEY) };
const listeners = new Set<() => void>();

export function currentKey(): string | null {
  return session.state === "in" ? session.apiKey : null;
}

/** The header that tells the server who one is; `null` where the cookie does. */
export function currentAuthorization(): string | null {
  const key = currentKey();
  return key === null ? null : `Bearer ${key}`;
}

export function isSignedIn(): boolean {
  return session.state === "in";
}

/** Enters with a key, or with the cookie that the server has set. */
export function signIn(account: Account, apiKey: string | null = null) {
  if (apiKey === null) sessionStorage.removeItem(STORAGE_KEY);
  else sessionStorage.setItem(STORAGE_KEY, apiKey);
  publish({ state: "in", apiKey, account });
}

export function signOut(reason: SignedOutReason = "none") {
  sessionStorage.removeItem(STORAGE_KEY);
  publish({ state: "out", reason });
}

/** Takes down what the person has changed about the own account; the server is not asked again. */
export function amendAccount(amend: (account: Account) => Account) {
  if (session.state === "in") publish({ ...session, account: amend(session.account) });
}

/** Goes back to the state of a page that has just been opened. */
export function resume() {
  publish({ state: "resuming", apiKey: sessionStorage.getItem(STORAGE_KEY) });
}

export function useSession(): Session {
  return useSyncExternalStore(subscribe, () => session);
}

/** Who is signed in; only below the gate. */
export function useAccount(): Account {
  const current = useSession();
  if (current.state !== "in") throw new Error("nobody is signed in");
  return current.account;
}

/** Whether who is signed in may do that; false while nobody is. */
export function useMay(permission: Permission): boolean {
  const current = useSession();
  return current.state === "in" && current.account.permissions.includes(permission);
}

function publish(next: Session) {
  session = next;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
