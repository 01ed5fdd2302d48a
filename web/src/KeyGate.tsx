import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useCallback, useEffect, useId, useState } from "react";
import { useLocation, useSearchParams } from "react-router";
import { useChange } from "./api/change";
import {
  checkKey,
  currentAccount,
  signInWithPassword,
  singleSignOn,
  singleSignOnUrl,
} from "./api/client";
import { ApiError } from "./api/errors";
import { type SignedOutReason, signIn, signOut, useSession } from "./api/session";
import type { SingleSignOn } from "./api/types";
import { ErrorNote } from "./components/ErrorNote";
import { submits } from "./components/Form";
import { Icon } from "./components/Icon";
import { KuraMark } from "./components/KuraMark";
import { SecretInput } from "./components/SecretInput";
import { LanguageSwitch, ThemeSwitch } from "./components/Shell";
import { type Messages, useI18n } from "./i18n";
import styles from "./KeyGate.module.css";

/** Shows its children once someone is signed in: with a session, or with a key that the server accepts. */
export function KeyGate({ children }: { children: ReactNode }) {
  const session = useSession();
  switch (session.state) {
    case "in":
      return children;
    case "resuming":
      return <Resuming apiKey={session.apiKey} />;
    case "out":
      return <SignIn reason={session.reason} />;
  }
}

/** Asks the server whether the key of this tab, or the cookie of this browser, still holds. */
function Resuming({ apiKey }: { apiKey: string | null }) {
  const { t } = useI18n();
  const [error, setError] = useState<unknown>(null);
  const ask = useCallback(async () => {
    setError(null);
    try {
      const account = apiKey === null ? await currentAccount() : await checkKey(apiKey);
      signIn(account, apiKey);
    } catch (failure) {
      if (failure instanceof ApiError && failure.status === 401) {
        // Without a key nobody may have been signed in before.
        signOut(apiKey === null ? "none" : "refused");
      } else {
        setError(failure);
      }
    }
  }, [apiKey]);
  useEffect(() => void ask(), [ask]);
  return (
    <Gate>
      {error === null ? (
        <p className={styles.lead} role="status">
          {t.loading}
        </p>
      ) : (
        <ErrorNote error={error} onRetry={() => void ask()} />
      )}
    </Gate>
  );
}

function SignIn({ reason }: { reason: SignedOutReason }) {
  const { t } = useI18n();
  const client = useQueryClient();
  // What was read by one person is not for the next.
  useEffect(() => client.clear(), [client]);
  const [withKey, setWithKey] = useState(reason === "refused");
  return (
    <Gate>
      <h1>{t.gate.title}</h1>
      <p className={styles.lead}>{withKey ? t.gate.keyLead : t.gate.lead}</p>
      {!withKey && <Provider />}
      {withKey ? <KeyForm reason={reason} /> : <PasswordForm reason={reason} />}
      <button type="button" className={styles.other} onClick={() => setWithKey(!withKey)}>
        {withKey ? t.gate.usePassword : t.gate.useKey}
      </button>
    </Gate>
  );
}

/** The way in by the identity provider, where there is one, and why it did not lead in. */
function Provider() {
  const { t } = useI18n();
  const errorId = useId();
  const { pathname, search } = useLocation();
  const [parameters] = useSearchParams();
  const refused = parameters.get("sign_in");
  const [offer, setOffer] = useState<SingleSignOn | null>(null);
  useEffect(() => {
    let here = true;
    // Without an answer there is the password, whose form says what is wrong with the server.
    singleSignOn()
      .then((found) => here && setOffer(found))
      .catch(() => undefined);
    return () => {
      here = false;
    };
  }, []);
  const path = refused === null ? pathname + search : "/";
  return (
    <div className={styles.provider}>
      {refused !== null && <Alert id={errorId}>{reasonOf(refused, t)}</Alert>}
      {offer?.offered && (
        <>
          <a
            className="button"
            href={singleSignOnUrl(path)}
            aria-describedby={refused === null ? undefined : errorId}
          >
            {offer.label ?? t.gate.provider}
          </a>
          <p className={styles.or}>{t.gate.or}</p>
        </>
      )}
    </div>
  );
}

function PasswordForm({ reason }: { reason: SignedOutReason }) {
  const { t } = useI18n();
  const ids = { name: useId(), password: useId(), code: useId(), hint: useId(), error: useId() };
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const [asksCode, setAsksCode] = useState(false);
  const { isPending, error, run } = useChange();
  const attempt = async () => {
    const given = asksCode && code.trim() !== "" ? code.trim() : null;
    try {
      signIn(await signInWithPassword(name.trim(), password, given));
    } catch (failure) {
      // From the next try on the form has a field for it.
      if (failure instanceof ApiError && failure.code === "code_required") setAsksCode(true);
      throw failure;
    }
  };
  const refusal = refused(error, t);
  const message = refusal ?? (reason === "ended" && error === null ? t.gate.ended : null);
  const wrong = error instanceof ApiError && error.code === "invalid_credentials";
  const complete = name.trim() !== "" && password !== "" && !(asksCode && code.trim() === "");

  return (
    <form onSubmit={submits(() => run(attempt))}>
      <label htmlFor={ids.name}>{t.gate.name}</label>
      <input
        id={ids.name}
        className="input"
        value={name}
        autoComplete="username"
        autoCapitalize="off"
        spellCheck={false}
        aria-invalid={wrong}
        onChange={(event) => setName(event.target.value)}
      />
      <label htmlFor={ids.password}>{t.gate.password}</label>
      <SecretInput
        id={ids.password}
        show={t.gate.showPassword}
        hide={t.gate.hidePassword}
        value={password}
        onChange={setPassword}
        autoComplete="current-password"
        aria-invalid={wrong}
        aria-describedby={message ? ids.error : undefined}
      />
      {asksCode && (
        <>
          <label htmlFor={ids.code}>{t.gate.code}</label>
          <input
            id={ids.code}
            className="input"
            value={code}
            autoComplete="one-time-code"
            autoCapitalize="off"
            spellCheck={false}
            aria-describedby={ids.hint}
            // biome-ignore lint/a11y/noAutofocus: the field appears because it has to be filled in now
            autoFocus
            onChange={(event) => setCode(event.target.value)}
          />
          <p id={ids.hint} className={styles.hint}>
            {t.gate.codeHint}
          </p>
        </>
      )}
      {message && <Alert id={ids.error}>{message}</Alert>}
      {error !== null && refusal === null && <ErrorNote error={error} />}
      <button type="submit" className="button" disabled={isPending || !complete}>
        {isPending ? t.gate.checking : t.gate.signIn}
      </button>
    </form>
  );
}

function KeyForm({ reason }: { reason: SignedOutReason }) {
  const { t } = useI18n();
  const ids = { key: useId(), error: useId() };
  const [value, setValue] = useState("");
  const { isPending, error, run } = useChange();
  const attempt = async () => {
    const apiKey = value.trim();
    signIn(await checkKey(apiKey), apiKey);
  };
  const wrong = error instanceof ApiError && error.status === 401;
  const message = wrong
    ? t.gate.wrong
    : reason === "refused" && error === null
      ? t.gate.refused
      : null;

  return (
    <form onSubmit={submits(() => run(attempt))}>
      <label htmlFor={ids.key}>{t.gate.label}</label>
      <SecretInput
        id={ids.key}
        show={t.gate.show}
        hide={t.gate.hide}
        placeholder={t.gate.placeholder}
        value={value}
        onChange={setValue}
        autoComplete="off"
        aria-invalid={wrong}
        aria-describedby={message ? ids.error : undefined}
      />
      {message && <Alert id={ids.error}>{message}</Alert>}
      {error !== null && !wrong && <ErrorNote error={error} />}
      <button type="submit" className="button" disabled={isPending || value.trim() === ""}>
        {isPending ? t.gate.checking : t.gate.submit}
      </button>
    </form>
  );
}

function Alert({ id, children }: { id: string; children: ReactNode }) {
  return (
    <p id={id} className={styles.error} role="alert">
      <Icon name="warning" />
      {children}
    </p>
  );
}

function Gate({ children }: { children: ReactNode }) {
  return (
    <div className={styles.gate}>
      <main className={styles.card}>
        <KuraMark className={styles.mark} />
        {children}
      </main>
      <div className={styles.settings}>
        <ThemeSwitch className={styles.themes} />
        <LanguageSwitch className={styles.language} />
      </div>
    </div>
  );
}

/** Why the identity provider did not lead in. The word comes with the address, where anyone can write another one. */
function reasonOf(word: string, t: Messages): string {
  const known = Object.entries(t.gate.providerRefused).find(([name]) => name === word);
  return known?.[1] ?? t.gate.providerRefused.refused;
}

/** What the server said no to, in words; `null` for anything else. */
function refused(error: unknown, t: Messages): string | null {
  if (!(error instanceof ApiError)) return null;
  switch (error.code) {
    case "invalid_credentials":
      return t.gate.wrongPassword;
    case "code_required":
      return t.gate.codeRequired;
    case "too_many_attempts":
      return t.gate.tooMany(error.retryAfter ?? 60);
    default:
      return null;
  }
}
