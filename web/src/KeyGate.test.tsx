import { screen, waitFor } from "@testing-library/react";
import { HttpResponse, http } from "msw";
import { describe, expect, it } from "vitest";
import { signOut } from "./api/session";
import { API_KEY } from "./test/corpus";
import { openApp } from "./test/render";
import { server } from "./test/server";

describe("the key gate", () => {
  it("refuses a wrong key with the reason, then opens with the right one and keeps it", async () => {
    const { user } = openApp("/", { signedIn: false });
    const field = screen.getByLabelText("API key");
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
    await user.type(screen.getByLabelText("API key"), "鍵{Enter}");
    expect(await screen.findByRole("alert")).toHaveTextContent("This key was not accepted");
  });

  it("tells a server that does not answer from a wrong key", async () => {
    server.use(http.get("*/api/v1/collections", () => HttpResponse.error()));
    const { user } = openApp("/", { signedIn: false });
    await user.type(screen.getByLabelText("API key"), `${API_KEY}{Enter}`);
    expect(await screen.findByRole("alert")).toHaveTextContent("The server does not answer");
  });

  it("hides the key unless asked to show it", async () => {
    const { user } = openApp("/", { signedIn: false });
    expect(screen.getByLabelText("API key")).toHaveAttribute("type", "password");
    await user.click(screen.getByRole("button", { name: "Show the key" }));
    expect(screen.getByLabelText("API key")).toHaveAttribute("type", "text");
  });

  it("asks again when the server stops accepting the key", async () => {
    openApp();
    await screen.findByRole("textbox", { name: "Question" });
    signOut("refused");
    expect(await screen.findByText(/no longer accepts this key/)).toBeInTheDocument();
  });

  it("can be shown in Japanese, and stays so", async () => {
    const { user } = openApp("/", { signedIn: false });
    await user.click(screen.getByRole("button", { name: "日本語" }));
    expect(screen.getByRole("heading", { name: "蔵を開く" })).toBeInTheDocument();
    await waitFor(() => expect(document.documentElement.lang).toBe("ja"));
    expect(localStorage.getItem("kura.language")).toBe("ja");
  });
});
