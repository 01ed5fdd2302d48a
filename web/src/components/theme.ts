/** Light or dark: as the system has it, unless the person chose. */
import { useState } from "react";

export type Theme = "system" | "light" | "dark";

const STORAGE_KEY = "kura.theme";

export function applyStoredTheme() {
  apply(storedTheme());
}

export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(storedTheme);
  const choose = (next: Theme) => {
    localStorage.setItem(STORAGE_KEY, next);
    apply(next);
    setTheme(next);
  };
  return [theme, choose];
}

function storedTheme(): Theme {
  const stored = localStorage.getItem(STORAGE_KEY);
  return stored === "light" || stored === "dark" ? stored : "system";
}

function apply(theme: Theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}
