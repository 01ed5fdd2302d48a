import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useEffect, useId, useState } from "react";
import { checkKey } from "./api/client";
import { ApiError } from "./api/errors";
import { signIn, useSession } from "./api/session";
import { ErrorNote } from "./components/ErrorNote";
import { Icon } from "./components/Icon";
import { KuraMark } from "./components/KuraMark";
import { LanguageSwitch, ThemeSwitch } from "./components/Shell";
import { useI18n } from "./i18n";
import styles from "./KeyGate.module.css";

/** Shows its children once the tab holds a key that the server accepts. */
export function KeyGate({ children }: { children: ReactNode }) {
  const { apiKey, reason } = useSession();
  if (apiKey) return children;
  return <KeyForm refused={reason === "refused"} />;
}

function KeyForm({ refused }: { refused: boolean }) {
  const { t } = useI18n();
  const client = useQueryClient();
  // What was read with one key is not for the next.
  useEffect(() => client.clear(), [client]);
  const fieldId = useId();
  const errorId = useId();
  const [value, setValue] = useState("");
  const [visible, setVisible] = useState(false);
  const [checking, setChecking] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const wrong = error instanceof ApiError && error.status === 401;
  const message = wrong ? t.gate.wrong : refused && !error ? t.gate.refused : null;

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const apiKey = value.trim();
    if (!apiKey || checking) return;
    setChecking(true);
    setError(null);
    try {
      await checkKey(apiKey);
      signIn(apiKey);
    } catch (failure) {
      setError(failure);
      setChecking(false);
    }
  };

  return (
    <div className={styles.gate}>
      <main className={styles.card}>
        <KuraMark className={styles.mark} />
        <h1>{t.gate.title}</h1>
        <p className={styles.lead}>{t.gate.lead}</p>
        <form onSubmit={(event) => void submit(event)}>
          <label htmlFor={fieldId}>{t.gate.label}</label>
          <div className={styles.field}>
            <input
              id={fieldId}
              className="input"
              type={visible ? "text" : "password"}
              value={value}
              placeholder={t.gate.placeholder}
              autoComplete="off"
              autoCapitalize="off"
              spellCheck={false}
              aria-invalid={wrong}
              aria-describedby={message ? errorId : undefined}
              onChange={(event) => setValue(event.target.value)}
            />
            <button
              type="button"
              className="icon-button"
              aria-label={visible ? t.gate.hide : t.gate.show}
              aria-pressed={visible}
              onClick={() => setVisible(!visible)}
            >
              <Icon name="eye" />
            </button>
          </div>
          {message && (
            <p id={errorId} className={styles.error} role="alert">
              <Icon name="warning" />
              {message}
            </p>
          )}
          {error !== null && !wrong && <ErrorNote error={error} />}
          <button type="submit" className="button" disabled={checking || value.trim() === ""}>
            {checking ? t.gate.checking : t.gate.submit}
          </button>
        </form>
      </main>
      <div className={styles.settings}>
        <ThemeSwitch className={styles.themes} />
        <LanguageSwitch className={styles.language} />
      </div>
    </div>
  );
}
