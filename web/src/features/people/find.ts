import type { Group, User } from "../../api/types";

/** The users whom every word of a search is about: login, name, address, groups. In the order of their names. */
export function findUsers(users: User[], text: string, language: string): User[] {
  const order = new Intl.Collator(language, { numeric: true });
  return users
    .filter(({ name, display_name, email, groups }) =>
      matches([name, display_name, email ?? "", ...groups], text),
    )
    .sort((a, b) => order.compare(a.display_name, b.display_name) || order.compare(a.name, b.name));
}

export function findGroups(groups: Group[], text: string): Group[] {
  return groups.filter(({ name, description }) => matches([name, description], text));
}

function matches(texts: string[], wanted: string): boolean {
  const all = texts.map(folded).join("\n");
  return folded(wanted)
    .split(/\s+/)
    .every((word) => all.includes(word));
}

/** A text as it is compared: whatever the width and the case. */
function folded(text: string): string {
  return text.normalize("NFKC").toLowerCase().trim();
}
