import { type ReactNode, useEffect, useRef, useState } from "react";
import { NavLink, useLocation } from "react-router";
import { type Messages, useI18n } from "../i18n";
import { Icon } from "./Icon";
import { KuraMark } from "./KuraMark";
import styles from "./Shell.module.css";
import { type Theme, useTheme } from "./theme";

type SignedIn = {
  /** Who is signed in. */
  account: string;
  role: string;
  /** What leaving is called. */
  signOut: string;
  onSignOut: () => void;
};

type Props = SignedIn & {
  /** Whether there is something for them on the pages of people. */
  managesPeople: boolean;
  past: ReactNode;
  children: ReactNode;
};

/** The frame of every page: the dark wall with the ways around, and the page beside it. */
export function Shell({ managesPeople, past, children, ...signedIn }: Props) {
  const { t } = useI18n();
  const [open, setOpen] = useState(false);
  const { pathname } = useLocation();
  // biome-ignore lint/correctness/useExhaustiveDependencies: going anywhere closes the drawer
  useEffect(() => setOpen(false), [pathname]);
  const wall = useRef<HTMLDivElement>(null);
  const opener = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    wall.current?.querySelector("a")?.focus();
    const button = opener.current;
    const onKey = (event: KeyboardEvent) => event.key === "Escape" && setOpen(false);
    addEventListener("keydown", onKey);
    return () => {
      removeEventListener("keydown", onKey);
      button?.focus();
    };
  }, [open]);
  return (
    <div className={styles.shell}>
      <a className={styles.skip} href="#content">
        {t.skipToContent}
      </a>
      <header className={styles.bar}>
        <button
          ref={opener}
          type="button"
          className="icon-button"
          aria-label={t.menu}
          aria-expanded={open}
          aria-controls="wall"
          onClick={() => setOpen(true)}
        >
          <Icon name="menu" />
        </button>
        <KuraMark className={styles.barMark} />
        <span className={styles.barName}>kura</span>
      </header>
      {open && (
        <button
          type="button"
          className={styles.scrim}
          aria-label={t.closeMenu}
          onClick={() => setOpen(false)}
        />
      )}
      <div id="wall" ref={wall} className={styles.wall} data-open={open}>
        <div className={styles.brand}>
          <KuraMark className={styles.mark} />
          <div>
            <p className={styles.name}>kura</p>
            <p className={styles.tagline}>{t.tagline}</p>
          </div>
        </div>
        <nav className={styles.nav} aria-label={t.nav.label}>
          <NavLink to="/" end className={styles.link}>
            <Icon name="plus" />
            {t.nav.ask}
          </NavLink>
          <NavLink to="/documents" className={styles.link}>
            <Icon name="documents" />
            {t.nav.documents}
          </NavLink>
          {managesPeople && (
            <NavLink to="/people" className={styles.link}>
              <Icon name="people" />
              {t.nav.people}
            </NavLink>
          )}
        </nav>
        <nav className={styles.past} aria-label={t.nav.past}>
          <h2 className={styles.pastTitle}>{t.nav.past}</h2>
          {past}
        </nav>
        <Settings {...signedIn} />
      </div>
      <main id="content" className={styles.main} tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

const THEMES: Theme[] = ["system", "light", "dark"];

function Settings({ account, role, signOut, onSignOut }: SignedIn) {
  const { t } = useI18n();
  return (
    <div className={styles.settings}>
      <NavLink to="/account" className={styles.account} title={t.account.title}>
        <Icon name="person" />
        <span className="visually-hidden">{t.account.signedInAs} </span>
        <span className={styles.who}>{account}</span> <span className={styles.role}>{role}</span>
      </NavLink>
      <ThemeSwitch className={styles.themes} />
      <LanguageSwitch className={styles.setting} />
      <button
        type="button"
        className={styles.setting}
        onClick={onSignOut}
        aria-label={signOut}
        title={signOut}
      >
        <Icon name="leave" />
      </button>
    </div>
  );
}

/** Three small buttons: as the system, light, dark. */
export function ThemeSwitch({ className }: { className?: string | undefined }) {
  const { t } = useI18n();
  const [theme, setTheme] = useTheme();
  return (
    <fieldset className={className}>
      <legend className="visually-hidden">{t.settings.theme}</legend>
      {THEMES.map((name) => (
        <button
          key={name}
          type="button"
          aria-pressed={theme === name}
          aria-label={themeLabel(name, t)}
          title={themeLabel(name, t)}
          onClick={() => setTheme(name)}
        >
          <Icon name={name === "system" ? "system" : name === "light" ? "sun" : "moon"} />
        </button>
      ))}
    </fieldset>
  );
}

/** Goes to the other language; its name is written in that language. */
export function LanguageSwitch({ className }: { className?: string | undefined }) {
  const { language, t, setLanguage } = useI18n();
  const other = language === "en" ? "ja" : "en";
  return (
    <button
      type="button"
      className={className}
      lang={other}
      title={t.settings.language}
      onClick={() => setLanguage(other)}
    >
      {t.settings.languageCode}
    </button>
  );
}

function themeLabel(theme: Theme, t: Messages): string {
  switch (theme) {
    case "system":
      return t.settings.themeSystem;
    case "light":
      return t.settings.themeLight;
    case "dark":
      return t.settings.themeDark;
  }
}
