import { describe, expect, it } from "vitest";
import type { Group, User } from "../../api/types";
import { findGroups, findUsers } from "./find";
import { memberName, whoIs } from "./members";

function user(
  name: string,
  display_name: string,
  groups: string[] = [],
  email: string | null = null,
) {
  return { name, display_name, groups, email } as User;
}

const users = [
  user("sato", "佐藤 花子", ["hr"], "hanako@example.com"),
  user("yamada", "Yamada Tarō", ["sales", "hr"]),
  user("abe", "abe"),
];
const names = (found: { name: string }[]) => found.map(({ name }) => name);

describe("finding users", () => {
  it("finds all when nothing is asked, by name", () => {
    expect(names(findUsers(users, "  ", "en"))).toEqual(["abe", "yamada", "sato"]);
  });

  it.each([
    ["花子", ["sato"]],
    ["ＹＡＭＡＤＡ", ["yamada"]],
    ["HR", ["yamada", "sato"]],
    ["hr sales", ["yamada"]],
    ["example.com", ["sato"]],
    ["nobody", []],
    // Not across the edge of two texts.
    ["sato佐藤", []],
  ])("finds with %s", (text, found) => {
    expect(names(findUsers(users, text, "en"))).toEqual(found);
  });
});

describe("finding groups", () => {
  it("looks at names and what they are for", () => {
    const groups = [
      { name: "hr", description: "Human Resources" },
      { name: "sales", description: "" },
    ] as Group[];
    expect(names(findGroups(groups, "resources"))).toEqual(["hr"]);
    expect(names(findGroups(groups, "SALES"))).toEqual(["sales"]);
    expect(findGroups(groups, "")).toHaveLength(2);
  });
});

describe("whom a collection is for", () => {
  it("is written as access lists do", () => {
    expect(memberName("group", " hr ")).toBe("hr");
    expect(memberName("person", "ＡＮＮ")).toBe("user:ann");
    expect(memberName("everyone", "ignored")).toBe("everyone");
    expect(memberName("person", "  ")).toBe("");
  });

  it("is read from them", () => {
    expect(whoIs("everyone")).toEqual({ whom: "everyone", name: "" });
    expect(whoIs("user:ann")).toEqual({ whom: "person", name: "ann" });
    expect(whoIs("users")).toEqual({ whom: "group", name: "users" });
  });
});
