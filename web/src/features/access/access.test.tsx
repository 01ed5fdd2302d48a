import { QueryClient } from "@tanstack/react-query";
import { screen, waitFor, within } from "@testing-library/react";
import { http } from "msw";
import { describe, expect, it, vi } from "vitest";
import { adminAccount, editorAccount, PERSON } from "../../test/corpus";
import { TOTP_CODE } from "../../test/identity";
import { openApp } from "../../test/render";
import { problem } from "../../test/replies";
import { server } from "../../test/server";

type User = ReturnType<typeof openApp>["user"];

async function makeKey(user: User, name: string) {
  await user.click(await screen.findByRole("button", { name: "New key" }));
  await user.type(screen.getByLabelText("What it is for"), name);
  await user.click(screen.getByRole("button", { name: "Make the key" }));
  return screen.findByRole("region", { name: `The key “${name}” was made` });
}

describe("a key that is shown once", () => {
  it("stays until it is kept, whatever is made besides", async () => {
    const { user } = openApp("/account", { account: editorAccount });
    const first = await makeKey(user, "one");
    const second = await makeKey(user, "two");
    expect(first).toBeInTheDocument();
    expect(second).toHaveFocus();
    await user.click(within(second).getByRole("button", { name: "I have kept it" }));
    expect(second).not.toBeInTheDocument();
    expect(first).toBeInTheDocument();
  });

  it("cannot be missed by leaving its form while it is made", async () => {
    const { user } = openApp("/account", { account: editorAccount });
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    server.use(http.post("*/api/v1/api-keys", () => gate));
    await user.click(await screen.findByRole("button", { name: "New key" }));
    const form = screen.getByRole("form", { name: "New key" });
    await user.type(within(form).getByLabelText("What it is for"), "one");
    const cancel = within(form).getByRole("button", { name: "Cancel" });
    expect(cancel).toBeEnabled();
    await user.click(within(form).getByRole("button", { name: "Make the key" }));
    await waitFor(() => expect(cancel).toBeDisabled());
    release();
    expect(await screen.findByRole("region", { name: /^The key/ })).toBeInTheDocument();
  });

  it("is not said to be copied where the browser does not let it", async () => {
    const { user } = openApp("/account", { account: editorAccount });
    vi.spyOn(navigator.clipboard, "writeText").mockRejectedValue(new DOMException("no"));
    const shown = await makeKey(user, "one");
    await user.click(within(shown).getByRole("button", { name: "Copy the key" }));
    expect(within(shown).getByRole("button", { name: "Copy the key" })).toBeInTheDocument();
  });
});

describe("keys", () => {
  it("are not made while the collections that one could be held to are unknown", async () => {
    const { user } = openApp("/account", { account: editorAccount });
    server.use(http.get("*/api/v1/collections", () => refused(), { once: true }));
    await user.click(await screen.findByRole("button", { name: "New key" }));
    const form = screen.getByRole("form", { name: "New key" });
    expect(await within(form).findByRole("alert")).toHaveTextContent("not now");
    await user.click(within(form).getByRole("button", { name: "Try again" }));
    expect(await within(form).findByLabelText("these collections only")).toBeInTheDocument();
    expect(within(form).queryByRole("alert")).not.toBeInTheDocument();
  });

  it("show the failure of what was done last only", async () => {
    const { user } = openApp("/account", { account: editorAccount });
    server.use(http.delete("*/api/v1/api-keys/:id", () => refused(), { once: true }));
    await user.click(await screen.findByRole("button", { name: "Revoke the key “notebook”" }));
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Revoke" }));
    expect(await screen.findByRole("alert")).toHaveTextContent("not now");
    await user.click(await screen.findByRole("button", { name: "Replace the key “notebook”" }));
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Replace" }));
    await screen.findByRole("region", { name: "The key “notebook” was made" });
    expect(screen.queryByRole("alert")).not.toBeInTheDocument();
  });

  it("leave the focus in their list when one goes", async () => {
    const { user } = openApp("/account", { account: editorAccount });
    await user.click(await screen.findByRole("button", { name: "Revoke the key “notebook”" }));
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Revoke" }));
    await screen.findByText("2 keys that have ended");
    expect(screen.getByRole("list", { name: "API keys" })).toHaveFocus();
  });
});

describe("what is secret", () => {
  it("is in no cache, storage or address: a key", async () => {
    const app = open("/account", editorAccount);
    const shown = await makeKey(app.user, "weekly chart");
    const key = within(shown).getByText(/^kura_x+\d+$/).textContent ?? "";
    expect(app.kept()).not.toContain(key);
    await screen.findByRole("button", { name: "Revoke the key “weekly chart”" });
    expect(app.kept()).toContain("weekly chart");
    expect(app.kept()).not.toContain(key);
  });

  it("is in no cache, storage or address: passwords of others", async () => {
    const app = open("/people", adminAccount);
    await app.user.click(await screen.findByRole("button", { name: "Add a person" }));
    await app.user.type(screen.getByLabelText("Name to sign in with"), "jiro");
    await app.user.type(screen.getByLabelText("Password"), "a sentence to remember");
    await app.user.click(screen.getByRole("button", { name: "Add" }));
    await screen.findByText("a sentence to remember");
    await screen.findByRole("link", { name: "jiro" });
    expect(app.kept()).toContain("jiro");
    expect(app.kept()).not.toContain("a sentence to remember");
  });

  it("is in no cache, storage or address: one's password, the authenticator's secret, codes", async () => {
    const app = open("/account", editorAccount);
    const factor = await screen.findByRole("region", { name: "Second factor" });
    await app.user.click(
      within(factor).getByRole("button", { name: "Set up an authenticator app" }),
    );
    const password = within(factor).getByLabelText("Present password");
    expect(password).toHaveFocus();
    await app.user.type(password, `${PERSON.password}{Enter}`);
    const code = await within(factor).findByLabelText("Code of the app");
    await app.user.type(code, `${TOTP_CODE}{Enter}`);
    await within(factor).findByText(/abcd-efgh-jkmn-pq00/);
    for (const secret of [PERSON.password, "JBSWY3DPEHPK3PXP", TOTP_CODE, "abcd-efgh-jkmn-pq00"]) {
      expect(app.kept()).not.toContain(secret);
    }
  });
});

const refused = () => problem(429, "rate_limited", "Too many requests", "not now");

/** The application, with all that outlives its components. */
function open(path: string, account: typeof editorAccount) {
  const mount = vi.spyOn(QueryClient.prototype, "mount");
  const app = openApp(path, { account });
  const client = mount.mock.contexts[0] as QueryClient;
  const kept = () =>
    JSON.stringify([
      client
        .getQueryCache()
        .getAll()
        .map(({ queryKey, state }) => [queryKey, state]),
      client
        .getMutationCache()
        .getAll()
        .map(({ state }) => state),
      { ...localStorage },
      { ...sessionStorage },
      app.router.state.location,
      location.href,
    ]);
  return { ...app, kept };
}
