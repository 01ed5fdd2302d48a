/** The shortest password that the server takes, in characters. */
export const MIN_PASSWORD_CHARS = 12;

/** Letters and digits that nobody takes for one another; 32 of them, so that each byte chooses one without preference. */
const LETTERS = "abcdefghijkmnpqrstuvwxyz23456789";
const GROUPS = 4;
const GROUP_CHARS = 5;

export function isLongEnough(password: string): boolean {
  return [...password].length >= MIN_PASSWORD_CHARS;
}

/** What is wrong with a new password that was typed twice, as far as the page can tell. */
export function passwordFault(next: string, again: string): "short" | "differs" | null {
  if (!isLongEnough(next)) return "short";
  return next === again ? null : "differs";
}

/** A password of 100 random bits that can be read out and typed. */
export function generatePassword(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(GROUPS * GROUP_CHARS));
  const letters = [...bytes].map((byte) => LETTERS[byte % LETTERS.length]).join("");
  return (letters.match(/.{5}/g) ?? []).join("-");
}
