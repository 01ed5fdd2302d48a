import { screen, waitFor, within } from "@testing-library/react";
import { http } from "msw";
import { describe, expect, it } from "vitest";
import { editorAccount, PERSON, readerAccount } from "../../test/corpus";
import { TOTP_CODE } from "../../test/identity";
import { openApp } from "../../test/render";
import { server } from "../../test/server";

const region = (name: string | RegExp) => screen.findByRole("region", { name });

async function changePassword(
  user: ReturnType<typeof openApp>["user"],
  [current, next, again]: [string, string, string],
) {
  const form = await region("Password");
  for (const [label, text] of [
    ["Present password", current],
    ["New password", next],
    ["New password again", again],
  ] as const) {
    await user.clear(within(form).getByLabelText(label));
    await user.type(within(form).getByLabelText(label), text);
  }
  return within(form).getByRole("button", { name: "Change the password" });
}

describe("my account", () => {
  it("is reached by one's name, and says who one is", async () => {
    const { user } = openApp("/", { account: editorAccount });
    await user.click(await screen.findByRole("link", { name: /^Signed in as\s*Taro Yamada/ }));
    const who = await region("Who you are");
    expect(within(who).getByText("taro")).toBeInTheDocument();
    expect(within(who).getByText(/adds, changes and deletes documents/)).toBeInTheDocument();
    expect(within(who).getByText("none, besides everyone")).toBeInTheDocument();
  });

  it("offers the holder of the admin key nothing to change, and says why", async () => {
    openApp("/account");
    expect(await screen.findByText(/no account behind the admin API key/)).toBeInTheDocument();
    expect(screen.queryByLabelText("Present password")).not.toBeInTheDocument();
  });

  it("offers the holder of another key nothing to change either", async () => {
    const permissions = readerAccount.permissions.filter((one) => one !== "account");
    openApp("/account", { account: { ...readerAccount, permissions } });
    expect(await screen.findByText(/You came with an API key/)).toBeInTheDocument();
    expect(screen.queryByRole("button", { name: "New key" })).not.toBeInTheDocument();
  });
});

describe("one's password", () => {
  it("is changed when the present one is right, which signs out the other browsers", async () => {
    const { user } = openApp("/account", { account: editorAccount });
    const sessions = await region("Sessions");
    expect(await within(sessions).findByText("Safari, iPhone")).toBeInTheDocument();
    const next = "a sentence to remember";
    const button = await changePassword(user, ["wrong one", next, next]);
    await user.click(button);
    expect(await screen.findByRole("alert")).toHaveTextContent(
      "the present password is another one",
    );
    expect(screen.getByLabelText("Present password")).toHaveAccessibleDescription(
      /the present password is another one/,
    );
    await changePassword(user, [PERSON.password, next, next]);
    await user.click(button);
    expect(await screen.findByText("The password was changed.")).toBeInTheDocument();
    expect(screen.getByLabelText("New password")).toHaveValue("");
    await waitFor(() => expect(within(sessions).queryByText("Safari, iPhone")).toBeNull());
    expect(within(sessions).getByText("Chrome, Linux")).toBeInTheDocument();
  });

  it("is not sent while it is too short or the two differ", async () => {
    const { user } = openApp("/account", { account: editorAccount });
    expect(await changePassword(user, [PERSON.password, "short", "short"])).toBeDisabled();
    expect(
      await changePassword(user, [PERSON.password, "long enough now", "long enough no"]),
    ).toBeDisabled();
    expect(screen.getByText("The two are not the same.")).toBeInTheDocument();
  });

  it("is said to be elsewhere where there is an identity provider", async () => {
    openApp("/account", { account: editorAccount });
    server.use(
      http.get("*/api/v1/session/oidc", () => Response.json({ offered: true, label: null })),
    );
    expect(await screen.findByText(/change it there/)).toBeInTheDocument();
  });
});

describe("one's second factor", () => {
  it("is set up with password and code, and gives recovery codes once", async () => {
    const { user } = openApp("/account", { account: editorAccount });
    const factor = await region("Second factor");
    expect(within(factor).getByText("Off")).toBeInTheDocument();
    await user.click(within(factor).getByRole("button", { name: "Set up an authenticator app" }));
    await user.type(within(factor).getByLabelText("Present password"), `${PERSON.password}{Enter}`);
    expect(await within(factor).findByRole("img", { name: /QR code/ })).toBeInTheDocument();
    expect(within(factor).getByText("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")).toBeInTheDocument();
    const code = within(factor).getByLabelText("Code of the app");
    await user.type(code, "000000{Enter}");
    expect(await within(factor).findByRole("alert")).toHaveTextContent("the code is not the one");
    await user.clear(code);
    await user.type(code, `${TOTP_CODE}{Enter}`);
    expect(await within(factor).findByText(/abcd-efgh-jkmn-pq00/)).toBeInTheDocument();
    expect(await within(factor).findByText("On")).toBeInTheDocument();
    await user.click(within(factor).getByRole("button", { name: "I have kept it" }));
    expect(screen.queryByText(/abcd-efgh-jkmn-pq00/)).not.toBeInTheDocument();
    expect(
      within(factor).getByRole("button", { name: "Remove the authenticator app" }),
    ).toBeInTheDocument();
  });

  it("is on once it is confirmed, whether or not the server can then say who one is", async () => {
    const { user } = openApp("/account", { account: editorAccount });
    const factor = await region("Second factor");
    await user.click(within(factor).getByRole("button", { name: "Set up an authenticator app" }));
    await user.type(within(factor).getByLabelText("Present password"), `${PERSON.password}{Enter}`);
    const code = await within(factor).findByLabelText("Code of the app");
    server.use(http.get("*/api/v1/session", () => Response.error()));
    await user.type(code, `${TOTP_CODE}{Enter}`);
    await within(factor).findByText(/abcd-efgh-jkmn-pq00/);
    expect(await within(factor).findByText("On")).toBeInTheDocument();
  });

  it("is removed with the password only", async () => {
    const { user } = openApp("/account", { account: { ...editorAccount, has_totp: true } });
    const factor = await region("Second factor");
    await user.click(within(factor).getByRole("button", { name: "Remove the authenticator app" }));
    const password = within(factor).getByLabelText("Present password");
    await user.type(password, "wrong{Enter}");
    expect(await within(factor).findByRole("alert")).toHaveTextContent("another one");
    await user.clear(password);
    await user.type(password, `${PERSON.password}{Enter}`);
    expect(await within(factor).findByText("Off")).toBeInTheDocument();
  });
});

describe("one's sessions", () => {
  it("end one by one, and not the one that asks", async () => {
    const { user } = openApp("/account", { account: editorAccount });
    const sessions = await region("Sessions");
    const buttons = await within(sessions).findAllByRole("button", { name: /^Sign out Safari/ });
    expect(buttons).toHaveLength(1);
    expect(within(sessions).getByText("This browser")).toBeInTheDocument();
    await user.click(buttons[0] as HTMLElement);
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Sign out" }));
    await waitFor(() => expect(within(sessions).queryByText("Safari, iPhone")).toBeNull());
    expect(
      within(sessions).queryByRole("button", { name: "Sign out everywhere else" }),
    ).not.toBeInTheDocument();
  });
});

describe("one's keys", () => {
  it("are listed with what they reach, and those that have ended apart", async () => {
    openApp("/account", { account: editorAccount });
    const list = await screen.findByRole("list", { name: "API keys" });
    await within(list).findByText("nightly");
    const [notebook, nightly] = within(list).getAllByRole("listitem");
    expect(notebook).toHaveTextContent(/all collections.*last used.*does not end/);
    expect(nightly).toHaveTextContent(/as Reader · only handbook.*never used · ends/);
    expect(within(list).queryByText("laptop of last year")).not.toBeInTheDocument();
    expect(screen.getByText("1 key that has ended")).toBeInTheDocument();
  });

  it("are made with limits and shown once", async () => {
    let sent: Record<string, unknown> = {};
    const { user } = openApp("/account", { account: editorAccount });
    server.use(
      http.post("*/api/v1/api-keys", async ({ request }) => {
        sent = (await request.clone().json()) as Record<string, unknown>;
        return undefined;
      }),
    );
    await user.click(await screen.findByRole("button", { name: "New key" }));
    const form = screen.getByRole("form", { name: "New key" });
    const make = within(form).getByRole("button", { name: "Make the key" });
    expect(make).toBeDisabled();
    await user.type(within(form).getByLabelText("What it is for"), "chart of the week");
    await user.selectOptions(within(form).getByLabelText("Ends"), "never");
    await user.selectOptions(within(form).getByLabelText("Allows"), "only what a reader may");
    await user.click(await within(form).findByLabelText("these collections only"));
    expect(make).toBeDisabled();
    await user.click(within(form).getByLabelText("office"));
    await user.type(within(form).getByLabelText("Requests a minute"), "many");
    expect(make).toBeDisabled();
    await user.clear(within(form).getByLabelText("Requests a minute"));
    await user.type(within(form).getByLabelText("Requests a minute"), "60");
    await user.click(make);
    const shown = await region("The key “chart of the week” was made");
    expect(within(shown).getByText(/^kura_x+\d+$/)).toBeInTheDocument();
    expect(shown).toHaveFocus();
    expect(sent).toEqual({
      name: "chart of the week",
      role: "reader",
      collections: ["office"],
      expires_at: null,
      requests_per_minute: 60,
      tokens_per_day: null,
    });
    await user.click(within(shown).getByRole("button", { name: "I have kept it" }));
    expect(screen.queryByText(/^kura_x+\d+$/)).not.toBeInTheDocument();
    expect(await screen.findByRole("heading", { name: "chart of the week" })).toBeInTheDocument();
  });

  it("are replaced and revoked only after asking", async () => {
    const { user } = openApp("/account", { account: editorAccount });
    await user.click(await screen.findByRole("button", { name: "Replace the key “notebook”" }));
    const dialog = screen.getByRole("dialog");
    expect(dialog).toHaveTextContent("void at once");
    await user.click(within(dialog).getByRole("button", { name: "Replace" }));
    await region("The key “notebook” was made");
    await user.click(await screen.findByRole("button", { name: "Revoke the key “notebook”" }));
    await user.click(screen.getByRole("button", { name: "Cancel" }));
    expect(screen.getByText("1 key that has ended")).toBeInTheDocument();
    await user.click(screen.getByRole("button", { name: "Revoke the key “notebook”" }));
    await user.click(within(screen.getByRole("dialog")).getByRole("button", { name: "Revoke" }));
    expect(await screen.findByText("2 keys that have ended")).toBeInTheDocument();
    // Nobody has to keep what is void.
    expect(screen.queryByText(/^kura_y+\d+$/)).not.toBeInTheDocument();
  });
});
