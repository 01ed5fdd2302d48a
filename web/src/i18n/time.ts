import type { Language } from ".";

/** A moment as a person reads it: the time of today, the date of any other day. */
export function formatTime(time: string, language: Language, now = new Date()): string {
  const date = new Date(time);
  const today = date.toDateString() === now.toDateString();
  return new Intl.DateTimeFormat(
    language,
    today ? { hour: "numeric", minute: "2-digit" } : { dateStyle: "medium" },
  ).format(date);
}

/** A moment to the minute, for what has just happened or will end. */
export function formatMoment(time: string, language: Language): string {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(
    new Date(time),
  );
}
