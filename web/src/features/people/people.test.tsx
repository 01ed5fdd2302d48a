import { screen, waitFor, within } from "@testing-library/react";
import { http } from "msw";
import { describe, expect, it } from "vitest";
import { adminAccount, readerAccount } from "../../test/corpus";
import { createHandlers } from "../../test/handlers";
import { PROVIDER } from "../../test/identity";
import { openApp } from "../../test/render";
import { problem } from "../../test/replies";
import { server } from "../../test/server";

const region = (name: string | RegExp) => screen.findByRole("region", { name });
const admin = { account: adminAccount };

describe("the list of people", () => {
  it("is offered to those who may see it only", async () => {
    openApp("/", { account: readerAccount });
    await screen.findByRole("link", { name: "Documents" });
    expect(screen.queryByRole("link", { name: "People" })).not.toBeInTheDocument();
  });

  it("shows the server's refusal to others who come by the address", async () => {
    openApp("/people", { account: readerAccount });
    server.use(
      http.get("*/api/v1/users", () =>
        problem(403, "forbidden", "Forbidden", "a reader may not see who may use kura"),
      ),
    );
    expect(await screen.findByRole("alert")).toHaveTextContent("a reader may not see");
    expect(screen.queryByRole("button", { name: "Add a person" })).not.toBeInTheDocument();
  });

  it("shows people with what they may do, finds some, and keeps services apart", async () => {
    const { user } = openApp("/people", admin);
    const list = await screen.findByRole("list", { name: "People" });
    await waitFor(() => expect(within(list).getAllByRole("listitem")).toHaveLength(4));
    expect(screen.getByText("4 people")).toBeInTheDocument();
    expect(within(list).getByText("Deactivated")).toBeInTheDocument();
    expect(within(list).getByText("login.example.com")).toHaveAttribute("title", PROVIDER);
    await user.type(screen.getByRole("searchbox", { name: "Search people" }), "花子 example");
    expect(within(list).getAllByRole("listitem")).toHaveLength(1);
    expect(screen.getByText("1 person")).toBeInTheDocument();
    await user.type(screen.getByRole("searchbox", { name: "Search people" }), " nobody");
    expect(screen.getByText("Nothing was found")).toBeInTheDocument();
    await user.click(screen.getByRole("link", { name: "Services" }));
    expect(await screen.findByRole("link", { name: "CRM" })).toBeInTheDocument();
    expect(screen.getByText("1 service")).toBeInTheDocument();
  });

  it("goes through all pages of the server, and shows fifty at a time", async () => {
    openApp("/people", admin);
    const one = (n: number) => ({
      id: `u${n}`,
      kind: "person",
      name: `p${n}`,
      display_name: `Person ${n}`,
      email: null,
      role: "reader",
      active: true,
      source: "local",
      has_totp: false,
      groups: [],
      created_at: "2026-11-02T01:30:00Z",
      updated_at: "2026-11-02T01:30:00Z",
      last_sign_in_at: null,
      tokens_today: 0,
    });
    const asked: (string | null)[] = [];
    server.use(
      http.get("*/api/v1/users", ({ request }) => {
        const cursor = new URL(request.url).searchParams.get("cursor");
        asked.push(cursor);
        const start = cursor === null ? 1 : 71;
        const items = Array.from({ length: 70 }, (_, i) => one(start + i));
        return Response.json({ items, next_cursor: cursor === null ? "next" : null });
      }),
    );
    expect(await screen.findByText("140 people")).toBeInTheDocument();
    expect(asked).toEqual([null, "next"]);
    const list = screen.getByRole("list", { name: "People" });
    expect(within(list).getAllByRole("listitem")).toHaveLength(50);
    screen.getByRole("button", { name: "Show more" }).click();
    await waitFor(() => expect(within(list).getAllByRole("listitem")).toHaveLength(100));
  });

  it("says that nobody is there yet", async () => {
    openApp("/people", admin);
    server.use(
      ...createHandlers({ pace: 0, baseUrl: location.origin, empty: true, account: adminAccount }),
    );
    expect(await screen.findByText("Nobody has been added yet")).toBeInTheDocument();
  });
});

describe("adding", () => {
  it("a person shows name and password once, and the person in the list", async () => {
    const { user } = openApp("/people", admin);
    await user.click(await screen.findByRole("button", { name: "Add a person" }));
    const form = screen.getByRole("form", { name: "Add a person" });
    const add = within(form).getByRole("button", { name: "Add" });
    await user.type(within(form).getByLabelText("Name to sign in with"), "taro");
    await user.click(within(form).getByRole("button", { name: "Make one up" }));
    const password = within(form).getByLabelText("Password");
    expect(password).not.toHaveValue("");
    await user.clear(password);
    await user.type(password, "too short");
    expect(add).toBeDisabled();
    await user.type(password, ", now long enough");
    await user.click(add);
    expect(await screen.findByRole("alert")).toHaveTextContent("`taro` is taken");
    await user.clear(within(form).getByLabelText("Name to sign in with"));
    await user.type(within(form).getByLabelText("Name to sign in with"), "jiro");
    await user.click(within(form).getByLabelText("hr"));
    await user.click(add);
    const shown = await region("jiro was added");
    expect(within(shown).getByText("too short, now long enough")).toBeInTheDocument();
    await user.click(within(shown).getByRole("button", { name: "I have kept it" }));
    expect(screen.queryByText("too short, now long enough")).not.toBeInTheDocument();
    const row = (await screen.findByRole("link", { name: "jiro" })).closest("li");
    expect(row).toHaveTextContent("hr");
  });

  it("a service leads to its page, where its key is made", async () => {
    const { user, router } = openApp("/people/services", admin);
    await user.click(await screen.findByRole("button", { name: "Add a service" }));
    const form = screen.getByRole("form", { name: "Add a service" });
    expect(within(form).queryByLabelText("Password")).not.toBeInTheDocument();
    await user.type(within(form).getByLabelText("Name to sign in with"), "nightly{Enter}");
    await waitFor(() => expect(router.state.location.pathname).toBe("/people/users/nightly"));
    expect(await screen.findByRole("button", { name: "New key" })).toBeInTheDocument();
    expect(screen.queryByRole("region", { name: "Sessions" })).not.toBeInTheDocument();
  });

  it("a group leads to its page, where its members are", async () => {
    const { user, router } = openApp("/people/groups", admin);
    await user.click(await screen.findByRole("button", { name: "Add a group" }));
    await user.type(screen.getByLabelText("Name of the group"), "legal{Enter}");
    await waitFor(() => expect(router.state.location.pathname).toBe("/people/groups/legal"));
    expect(await screen.findByText("Nobody belongs to it yet.")).toBeInTheDocument();
    await user.type(screen.getByLabelText("Add a member"), "nobody{Enter}");
    expect(await screen.findByRole("alert")).toHaveTextContent("Not Found");
    await user.clear(screen.getByLabelText("Add a member"));
    await user.type(screen.getByLabelText("Add a member"), "taro{Enter}");
    const list = screen.getByRole("list", { name: "Members" });
    expect(await within(list).findByRole("link", { name: "Taro Yamada" })).toBeInTheDocument();
    await user.click(within(list).getByRole("button", { name: "Take Taro Yamada out" }));
    expect(await screen.findByText("Nobody belongs to it yet.")).toBeInTheDocument();
  });
});

describe("the page of a person", () => {
  it("changes name and role, and sends only what changes", async () => {
    const sent: unknown[] = [];
    const { user } = openApp("/people/users/taro", admin);
    server.use(
      http.patch("*/api/v1/users/:id", async ({ request }) => {
        sent.push(await request.clone().json());
        return undefined;
      }),
    );
    const profile = await region("Profile");
    const save = within(profile).getByRole("button", { name: "Save" });
    expect(save).toBeDisabled();
    await user.selectOptions(within(profile).getByLabelText("Role"), "Auditor");
    expect(within(profile).getByText(/signs them out everywhere/)).toBeInTheDocument();
    await user.click(save);
    expect(await within(profile).findByText("Saved.")).toBeInTheDocument();
    expect(sent).toEqual([{ role: "auditor" }]);
  });

  it("leaves to the identity provider what it decides", async () => {
    openApp("/people/users/kim%40example.com", admin);
    expect(await screen.findByText(/Managed by login.example.com/)).toBeInTheDocument();
    expect(screen.getByLabelText("Role")).toBeDisabled();
    expect(screen.queryByRole("button", { name: "Set a new password" })).not.toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Deactivate" })).toBeInTheDocument();
  });

  it("changes nothing about oneself that takes another administrator", async () => {
    openApp("/people/users/hanako", admin);
    expect(await screen.findByText(/This is you/)).toBeInTheDocument();
    expect(screen.getByLabelText("Role")).toBeDisabled();
    for (const name of ["Set a new password", "Deactivate", "Delete"]) {
      expect(screen.queryByRole("button", { name })).not.toBeInTheDocument();
    }
  });

  it("shows those who only look nothing to change", async () => {
    const permissions = ["anyone", "own", "account", "read_settings"] as const;
    openApp("/people/users/taro", {
      account: { ...adminAccount, role: "auditor", permissions: [...permissions] },
    });
    expect(await screen.findByLabelText("Name to show")).toBeDisabled();
    expect(screen.queryByRole("button", { name: /Save|Delete|Take out/ })).not.toBeInTheDocument();
    expect(screen.queryByRole("region", { name: "API keys" })).not.toBeInTheDocument();
  });

  it("offers no key in the name of another person", async () => {
    openApp("/people/users/taro", admin);
    expect(
      await screen.findByRole("button", { name: "Revoke the key “notebook”" }),
    ).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: /New key|^Replace/ })).not.toBeInTheDocument();
  });

  it("sets a new password and shows it once", async () => {
    const { user } = openApp("/people/users/taro", admin);
    await user.click(await screen.findByRole("button", { name: "Set a new password" }));
    const form = screen.getByRole("form", { name: "Set a new password" });
    await user.click(within(form).getByRole("button", { name: "Make one up" }));
    const password = within(form).getByLabelText<HTMLInputElement>("Password").value;
    await user.click(within(form).getByRole("button", { name: "Set a new password" }));
    const shown = await region("The password of Taro Yamada was changed");
    expect(within(shown).getByText(password)).toBeInTheDocument();
  });

  it("puts into groups and takes out of them", async () => {
    const { user } = openApp("/people/users/taro", admin);
    const groups = await region("Groups");
    await within(groups).findByRole("option", { name: "sales" });
    await user.selectOptions(within(groups).getByLabelText("Add to a group"), "sales");
    await user.click(within(groups).getByRole("button", { name: "Add" }));
    await within(groups).findByRole("link", { name: "sales" });
    await user.click(within(groups).getByRole("button", { name: "Take out of hr" }));
    await waitFor(() => expect(within(groups).queryByRole("link", { name: "hr" })).toBeNull());
  });

  it("signs out everywhere, shuts out and lets in again", async () => {
    const { user } = openApp("/people/users/taro", admin);
    const sessions = await region("Sessions");
    await user.click(await within(sessions).findByRole("button", { name: "Sign out everywhere" }));
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Sign out" }));
    await waitFor(() => expect(within(sessions).queryByText("Safari, iPhone")).toBeNull());
    await user.click(screen.getByRole("button", { name: "Deactivate" }));
    await user.click(
      within(screen.getByRole("dialog")).getByRole("button", { name: "Deactivate" }),
    );
    await user.click(await screen.findByRole("button", { name: "Activate" }));
    expect(await screen.findByRole("button", { name: "Deactivate" })).toBeInTheDocument();
  });

  it("removes a lost second factor only after asking", async () => {
    const { user } = openApp("/people/users/hanako");
    await user.click(await screen.findByRole("button", { name: "Remove the second factor" }));
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Remove" }));
    await waitFor(() =>
      expect(screen.queryByRole("button", { name: "Remove the second factor" })).toBeNull(),
    );
  });

  it("deletes only after asking, and goes back to the list", async () => {
    const { user, router } = openApp("/people/users/old", admin);
    await user.click(await screen.findByRole("button", { name: "Delete" }));
    const dialog = screen.getByRole("dialog");
    expect(dialog).toHaveTextContent("The name “old” is not given away again");
    await user.click(within(dialog).getByRole("button", { name: "Delete" }));
    await waitFor(() => expect(router.state.location.pathname).toBe("/people"));
    expect(await screen.findByText("3 people")).toBeInTheDocument();
    expect(screen.queryByRole("link", { name: "Old Account" })).not.toBeInTheDocument();
  });

  it("says that there is no such person", async () => {
    openApp("/people/users/nobody", admin);
    expect(await screen.findByRole("alert")).toHaveTextContent("req-7f3a");
  });
});

describe("a group", () => {
  it("of the identity provider is marked so", async () => {
    openApp("/people/groups/sales", admin);
    expect(await screen.findByText(/Managed by login.example.com/)).toBeInTheDocument();
  });

  it("is deleted only after asking", async () => {
    const { user, router } = openApp("/people/groups/hr", admin);
    await user.click(await screen.findByRole("button", { name: "Delete the group" }));
    const dialog = screen.getByRole("dialog");
    expect(dialog).toHaveTextContent("1 member can no longer read");
    await user.click(within(dialog).getByRole("button", { name: "Delete" }));
    await waitFor(() => expect(router.state.location.pathname).toBe("/people/groups"));
    expect(await screen.findByText("1 group")).toBeInTheDocument();
  });
});

describe("the members of a collection", () => {
  it("are reached from the documents, added, changed and taken out", async () => {
    const { user } = openApp("/documents");
    await user.click(await screen.findByRole("button", { name: "office 1" }));
    await user.click(screen.getByRole("link", { name: "Who may read office" }));
    const list = await screen.findByRole("list", { name: "Members" });
    expect(within(list).getByText("Everyone who signs in")).toBeInTheDocument();
    await user.selectOptions(screen.getByLabelText("Whom"), "Person");
    await user.type(screen.getByLabelText("Name to sign in with"), " Taro{Enter}");
    await user.selectOptions(await within(list).findByLabelText("What taro may do"), "editor");
    await waitFor(() =>
      expect(within(list).getByLabelText("What taro may do")).toHaveValue("editor"),
    );
    await user.click(within(list).getByRole("button", { name: "Take out Everyone who signs in" }));
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Take out" }));
    await waitFor(() => expect(within(list).getAllByRole("listitem")).toHaveLength(1));
    await user.click(within(list).getByRole("button", { name: "Take out taro" }));
    expect(screen.getByRole("dialog")).toHaveTextContent("the last member");
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Take out" }));
    expect(await screen.findByText(/^Nobody: only the admin API key/)).toBeInTheDocument();
  });

  it("are not offered to those who change no documents", async () => {
    const { user } = openApp("/documents", admin);
    await user.click(await screen.findByRole("button", { name: "office 1" }));
    await waitFor(() =>
      expect(screen.getByRole("button", { name: "office 1" })).toHaveAttribute(
        "aria-pressed",
        "true",
      ),
    );
    expect(screen.queryByRole("link", { name: /Who may read/ })).not.toBeInTheDocument();
  });

  it("are told to editors of the collection only, and the page says so", async () => {
    openApp("/documents/office/members", { account: readerAccount });
    server.use(
      http.get("*/api/v1/collections/:name/members", () =>
        problem(403, "forbidden", "Forbidden", "you may read this collection, but not change it"),
      ),
    );
    expect(await screen.findByRole("alert")).toHaveTextContent("but not change it");
  });
});
