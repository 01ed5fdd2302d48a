/** How access lists call whom a collection is for. */
export type Whom = "group" | "person" | "everyone";

const USER = "user:";
const EVERYONE = "everyone";

/** The name in an access list of a group, of one person by login, or of all. Empty while nothing is typed. */
export function memberName(whom: Whom, typed: string): string {
  // As the server stores it, however it was typed.
  const name = typed.normalize("NFKC").trim();
  switch (whom) {
    case "everyone":
      return EVERYONE;
    case "person":
      return name === "" ? "" : USER + name.toLowerCase();
    case "group":
      return name;
  }
}

/** Whom a name in an access list means. */
export function whoIs(group: string): { whom: Whom; name: string } {
  if (group === EVERYONE) return { whom: "everyone", name: "" };
  if (group.startsWith(USER)) return { whom: "person", name: group.slice(USER.length) };
  return { whom: "group", name: group };
}
