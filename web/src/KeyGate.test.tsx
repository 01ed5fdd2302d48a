import { cleanup, screen, waitFor } from "@testing-library/react";
import { HttpResponse, http } from "msw";
import { describe, expect, it, vi } from "vitest";
import { elsewhere } from "./api/client";
import { resume, signOut } from "./api/session";
import { API_KEY, PERSON, readerAccount } from "./test/corpus";
import { openApp } from "./test/render";
import { server } from "./test/server";

type User = ReturnType<typeof openApp>["user"];

async function withKey(user: User) {
  await user.click(screen.getByRole("button", { name: "Use an API key instead" }));
  return screen.getByLabelText("API key");
}

async function fillIn(user: User, password: string) {
  await user.clear(screen.getByLabelText("Name"));
  await user.type(screen.getByLabelText("Name"), ` ${PERSON.name}`);
  await user.clear(screen.getByLabelText("Password"));
  await user.type(screen.getByLabelText("Password"), `${password}{Enter}`);
}

describe("signing in with a password", () => {
  it("refuses a wrong one, lets the right one in, says who one is, and lets out again", async () => {
    const { user } = openApp("/", { signedIn: false });
    await fillIn(user, "wrong");
    expect(await screen.findByRole("alert")).toHaveTextContent("Name, password or code are wrong");
    await fillIn(user, PERSON.password);
    expect(await screen.findByRole("textbox", { name: "Question" })).toBeInTheDocument();
    expect(screen.getByText("Taro Yamada")).toBeInTheDocument();
    expect(screen.getByText("Editor")).toBeInTheDocument();
    // The session is in a cookie that no script sees.
    expect(sessionStorage.length).toBe(0);

    let ended = false;
    server.use(
      http.delete("*/api/v1/session", ({ request }) => {
        ended = request.headers.get("authorization") === null;
        return new HttpResponse(null, { status: 204 });
      }),
    );
    await user.click(screen.getByRole("button", { name: "Sign out" }));
    expect(await screen.findByLabelText("Password")).toHaveValue("");
    expect(ended).toBe(true);
  });

  it("asks for the code when there is a second factor", async () => {
    const { user } = openApp("/", { signedIn: false });
    expect(screen.queryByLabelText("Code")).not.toBeInTheDocument();
    await fillIn(user, PERSON.passwordWithCode);
    const field = await screen.findByLabelText("Code");
    expect(screen.getByRole("alert")).toHaveTextContent("authenticator app");
    expect(screen.getByRole("button", { name: "Sign in" })).toBeDisabled();
    await user.type(field, "000000{Enter}");
    expect(await screen.findByText(/Name, password or code are wrong/)).toBeInTheDocument();
    await user.clear(field);
    await user.type(field, `${PERSON.code}{Enter}`);
    expect(await screen.findByRole("textbox", { name: "Question" })).toBeInTheDocument();
  });

  it("says how long to wait after too many attempts", async () => {
    server.use(
      http.post("*/api/v1/session", () =>
        HttpResponse.json(
          { title: "Too many attempts", status: 429, code: "too_many_attempts", detail: "wait" },
          { status: 429, headers: { "retry-after": "8" } },
        ),
      ),
    );
    const { user } = openApp("/", { signedIn: false });
    await fillIn(user, PERSON.password);
    expect(await screen.findByRole("alert")).toHaveTextContent("Try again in 8 seconds");
  });

  it("goes on with the session of the browser, and asks again when it has ended", async () => {
    server.use(
      http.get("*/api/v1/session", () => HttpResponse.json(readerAccount)),
      http.get("*/api/v1/collections", () => HttpResponse.json({ items: [], next_cursor: null })),
    );
    resume();
    const { router } = openApp("/", { signedIn: "resuming" });
    expect(await screen.findByRole("textbox", { name: "Question" })).toBeInTheDocument();
    expect(screen.getByText("Reader")).toBeInTheDocument();
    // A reader adds nothing, and is not shown how.
    await router.navigate("/documents");
    expect(await screen.findByRole("heading", { name: "Documents" })).toBeInTheDocument();
    expect(screen.queryByText(/Drop files/)).not.toBeInTheDocument();
    signOut("ended");
    expect(await screen.findByRole("alert")).toHaveTextContent("Your session has ended");
    expect(screen.getByLabelText("Password")).toBeInTheDocument();
  });

  it("shows the form where there is no session", async () => {
    resume();
    openApp("/", { signedIn: "resuming" });
    expect(await screen.findByLabelText("Password")).toBeInTheDocument();
    expect(screen.queryByRole("alert")).not.toBeInTheDocument();
  });
});

describe("signing in at the identity provider", () => {
  const offer = (label: string | null) =>
    server.use(
      http.get("*/api/v1/session/oidc", () => HttpResponse.json({ offered: true, label })),
    );

  it("is offered only where the server offers it, and leads back to where one was", async () => {
    openApp("/documents?collection=hr", { signedIn: false });
    await screen.findByLabelText("Password");
    expect(screen.queryByRole("link")).not.toBeInTheDocument();
    cleanup();
    offer("Example account");
    openApp("/documents?collection=hr", { signedIn: false });
    expect(await screen.findByRole("link", { name: "Example account" })).toHaveAttribute(
      "href",
      "/api/v1/session/oidc/start?return_to=%2Fdocuments%3Fcollection%3Dhr",
    );
    expect(screen.getByLabelText("Password")).toBeInTheDocument();
  });

  it("says why it did not lead in, in words of its own only", async () => {
    offer(null);
    openApp("/?sign_in=disabled", { signedIn: false });
    expect(await screen.findByRole("alert")).toHaveTextContent("has been disabled");
    const link = await screen.findByRole("link", { name: "Sign in with your company account" });
    expect(link).toHaveAttribute("href", "/api/v1/session/oidc/start?return_to=%2F");
    cleanup();
    openApp("/?sign_in=Call%20555-0100", { signedIn: false });
    expect(await screen.findByRole("alert")).toHaveTextContent("was not accepted");
    cleanup();
    openApp("/?sign_in=constructor", { signedIn: false });
    expect(await screen.findByRole("alert")).toHaveTextContent("was not accepted");
  });

  it("ends the session there, too", async () => {
    const there = "https://login.example.com/logout?client_id=kura";
    server.use(
      http.get("*/api/v1/session", () => HttpResponse.json(readerAccount)),
      http.get("*/api/v1/collections", () => HttpResponse.json({ items: [], next_cursor: null })),
      http.delete("*/api/v1/session", () => HttpResponse.json({ provider_url: there })),
    );
    const go = vi.spyOn(elsewhere, "go").mockImplementation(() => undefined);
    resume();
    const { user } = openApp("/", { signedIn: "resuming" });
    await user.click(await screen.findByRole("button", { name: "Sign out" }));
    await waitFor(() => expect(go).toHaveBeenCalledWith(there));
    go.mockRestore();
  });
});

describe("entering with a key", () => {
  it("refuses a wrong key with the reason, then opens with the right one and keeps it", async () => {
    const { user } = openApp("/", { signedIn: false });
    const field = await withKey(user);
    await user.type(field, "kura_wrong{Enter}");
    expect(await screen.findByRole("alert")).toHaveTextContent("This key was not accepted");
    expect(field).toHaveAttribute("aria-invalid", "true");
    expect(sessionStorage.getItem("kura.api-key")).toBeNull();

    await user.clear(field);
    await user.type(field, `  ${API_KEY} {Enter}`);
    expect(await screen.findByRole("textbox", { name: "Question" })).toBeInTheDocument();
    expect(sessionStorage.getItem("kura.api-key")).toBe(API_KEY);
    expect(localStorage.length).toBe(1); // the language of the test, and no key
  });

  it("refuses what cannot be a key without asking the server", async () => {
    const { user } = openApp("/", { signedIn: false });
    await user.type(await withKey(user), "鍵{Enter}");
    expect(await screen.findByRole("alert")).toHaveTextContent("This key was not accepted");
  });

  it("tells a server that does not answer from a wrong key", async () => {
    server.use(http.get("*/api/v1/session", () => HttpResponse.error()));
    const { user } = openApp("/", { signedIn: false });
    await user.type(await withKey(user), `${API_KEY}{Enter}`);
    expect(await screen.findByRole("alert")).toHaveTextContent("The server does not answer");
  });

  it("hides the key unless asked to show it", async () => {
    const { user } = openApp("/", { signedIn: false });
    expect(await withKey(user)).toHaveAttribute("type", "password");
    await user.click(screen.getByRole("button", { name: "Show the key" }));
    expect(screen.getByLabelText("API key")).toHaveAttribute("type", "text");
  });

  it("asks again when the server stops accepting the key", async () => {
    openApp();
    await screen.findByRole("textbox", { name: "Question" });
    signOut("refused");
    expect(await screen.findByText(/no longer accepts this key/)).toBeInTheDocument();
  });

  it("goes on with the key of the tab", async () => {
    sessionStorage.setItem("kura.api-key", API_KEY);
    resume();
    openApp("/", { signedIn: "resuming" });
    expect(await screen.findByRole("button", { name: "Forget the key" })).toBeInTheDocument();
  });
});

describe("the gate", () => {
  it("can be shown in Japanese, and stays so", async () => {
    const { user } = openApp("/", { signedIn: false });
    await user.click(screen.getByRole("button", { name: "日本語" }));
    expect(screen.getByRole("heading", { name: "蔵を開く" })).toBeInTheDocument();
    expect(screen.getByLabelText("パスワード")).toBeInTheDocument();
    await waitFor(() => expect(document.documentElement.lang).toBe("ja"));
    expect(localStorage.getItem("kura.language")).toBe("ja");
  });
});
