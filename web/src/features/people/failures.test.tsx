/** What the pages of people show when something does not come, is refused, or changes meanwhile. */
import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { http } from "msw";
import { describe, expect, it } from "vitest";
import { adminAccount } from "../../test/corpus";
import { openApp } from "../../test/render";
import { problem } from "../../test/replies";
import { server } from "../../test/server";

const admin = { account: adminAccount };
const once = { once: true };
const refused = () => problem(429, "rate_limited", "Too many requests", "not now");

/** Sees the failure, and tries again. */
async function retry(user: ReturnType<typeof openApp>["user"]) {
  expect(await screen.findByRole("alert")).toHaveTextContent("not now");
  await user.click(screen.getByRole("button", { name: "Try again" }));
}

describe("what does not come", () => {
  it.each([
    ["/people", "*/api/v1/users", "People", 4],
    ["/people/services", "*/api/v1/users", "Services", 1],
    ["/people/groups", "*/api/v1/groups", "Groups", 2],
  ])("is no empty list at %s", async (path, address, name, length) => {
    const { user } = openApp(path, admin);
    server.use(http.get(address, refused, once));
    expect(await screen.findByRole("alert")).toBeInTheDocument();
    expect(screen.queryByRole("list", { name })).not.toBeInTheDocument();
    expect(screen.queryByRole("heading", { name: /^No|^Nobody/ })).not.toBeInTheDocument();
    await retry(user);
    const list = await screen.findByRole("list", { name });
    expect(within(list).getAllByRole("listitem")).toHaveLength(length);
    expect(screen.queryByRole("alert")).not.toBeInTheDocument();
  });

  it("is said in the form for a person: without groups they would be in none", async () => {
    const { user } = openApp("/people", admin);
    server.use(http.get("*/api/v1/groups", refused, once));
    await user.click(await screen.findByRole("button", { name: "Add a person" }));
    await retry(user);
    expect(await screen.findByLabelText("hr")).toBeInTheDocument();
  });

  it("is said where groups are chosen for someone", async () => {
    const { user } = openApp("/people/users/taro", admin);
    server.use(http.get("*/api/v1/groups", refused, once));
    await retry(user);
    expect(await screen.findByLabelText("Add to a group")).toBeInTheDocument();
  });

  it("is said where the names of members are unknown", async () => {
    const { user } = openApp("/people/groups/hr", admin);
    server.use(http.get("*/api/v1/users", refused, once));
    expect(await screen.findByRole("link", { name: "taro" })).toBeInTheDocument();
    await retry(user);
    expect(await screen.findByRole("link", { name: "Taro Yamada" })).toBeInTheDocument();
  });

  it("is said where members of a collection are chosen", async () => {
    const { user } = openApp("/documents/office/members");
    server.use(http.get("*/api/v1/groups", refused, once));
    await retry(user);
    await waitFor(() => expect(screen.queryByRole("alert")).not.toBeInTheDocument());
  });

  it("stays as it was when the connection is lost, and goes when it is withheld", async () => {
    const { user } = openApp("/documents/office/members");
    const list = await screen.findByRole("list", { name: "Members" });
    server.use(http.get("*/api/v1/collections/:name/members", refused));
    await user.selectOptions(within(list).getByRole("combobox"), "editor");
    expect(await screen.findAllByText("not now")).not.toHaveLength(0);
    expect(list).toBeInTheDocument();
    server.use(
      http.get("*/api/v1/collections/:name/members", () =>
        problem(403, "forbidden", "Forbidden", "you may no longer change it"),
      ),
    );
    await user.click(screen.getByRole("button", { name: "Try again" }));
    expect(await screen.findByText(/no longer change it/)).toBeInTheDocument();
    expect(list).not.toBeInTheDocument();
  });
});

describe("what is refused", () => {
  it("is said at the name that is taken", async () => {
    const { user } = openApp("/people/groups", admin);
    await user.click(await screen.findByRole("button", { name: "Add a group" }));
    const name = screen.getByLabelText("Name of the group");
    await user.type(name, "hr{Enter}");
    await waitFor(() => expect(name).toHaveAccessibleDescription(/there is a group `hr`/));
    expect(name).toBeInvalid();
    expect(screen.getAllByRole("alert")).toHaveLength(1);
  });

  it("is said at the member who is unknown", async () => {
    const { user } = openApp("/people/groups/hr", admin);
    const member = await screen.findByLabelText("Add a member");
    await user.type(member, "nobody{Enter}");
    await waitFor(() => expect(member).toHaveAccessibleDescription(/nothing under this id/));
    expect(member).toHaveValue("nobody");
  });
});

describe("a form", () => {
  it("is sent once, however fast it is pressed", async () => {
    const { user, router } = openApp("/people/groups", admin);
    let sent = 0;
    server.use(
      http.post("*/api/v1/groups", () => {
        sent += 1;
        return undefined;
      }),
    );
    await user.click(await screen.findByRole("button", { name: "Add a group" }));
    await user.type(screen.getByLabelText("Name of the group"), "legal");
    const form = screen.getByRole("form", { name: "Add a group" });
    fireEvent.submit(form);
    fireEvent.submit(form);
    await waitFor(() => expect(router.state.location.pathname).toBe("/people/groups/legal"));
    expect(sent).toBe(1);
  });

  it("is not sent with Enter while it is incomplete", async () => {
    const { user } = openApp("/people/groups", admin);
    let sent = 0;
    server.use(
      http.post("*/api/v1/groups", () => {
        sent += 1;
        return undefined;
      }),
    );
    await user.click(await screen.findByRole("button", { name: "Add a group" }));
    fireEvent.submit(screen.getByRole("form", { name: "Add a group" }));
    await user.type(screen.getByLabelText("Name of the group"), "hr{Enter}");
    await screen.findByRole("alert");
    expect(sent).toBe(1);
  });
});

describe("what changes meanwhile", () => {
  it("is in the profile, and is not set back by saving", async () => {
    const { user } = openApp("/people/users/taro", admin);
    const profile = await screen.findByRole("region", { name: "Profile" });
    // Another administrator, and then something that has the page read anew.
    await fetch(`${location.origin}/api/v1/users/taro`, {
      method: "PATCH",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ role: "auditor" }),
    });
    await user.click(await screen.findByRole("button", { name: "Take out of hr" }));
    await waitFor(() => expect(within(profile).getByLabelText("Role")).toHaveValue("auditor"));
    expect(within(profile).getByRole("button", { name: "Save" })).toBeDisabled();
  });

  it("by one's own hand is on one's own page", async () => {
    const { user, router } = openApp("/people/groups/hr", admin);
    await user.type(await screen.findByLabelText("Add a member"), "hanako{Enter}");
    await screen.findByRole("link", { name: "佐藤 花子" });
    await router.navigate("/account");
    const who = await screen.findByRole("region", { name: "Who you are" });
    expect(within(who).getByText("hr")).toBeInTheDocument();
    await router.navigate("/people/groups/hr");
    await user.click(await screen.findByRole("button", { name: "Delete the group" }));
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Delete" }));
    await waitFor(() => expect(router.state.location.pathname).toBe("/people/groups"));
    await router.navigate("/account");
    expect(await screen.findByText("none, besides everyone")).toBeInTheDocument();
  });

  it("does not carry what was typed from one group to another", async () => {
    const { user, router } = openApp("/people/groups/sales", admin);
    await screen.findByLabelText("Add a member");
    await router.navigate("/people/groups/hr");
    await screen.findByRole("link", { name: "Taro Yamada" });
    await user.type(screen.getByLabelText("Add a member"), "han");
    await router.navigate("/people/groups/sales");
    await screen.findByRole("link", { name: "Kim Lee" });
    expect(screen.getByLabelText("Add a member")).toHaveValue("");
  });

  it("leaves the focus in the list that a member was taken out of", async () => {
    const { user } = openApp("/people/groups/hr", admin);
    await user.click(await screen.findByRole("button", { name: "Take Taro Yamada out" }));
    await screen.findByText("Nobody belongs to it yet.");
    expect(screen.getByRole("list", { name: "Members" })).toHaveFocus();
  });
});
