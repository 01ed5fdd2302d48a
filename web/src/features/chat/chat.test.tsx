import { screen, waitFor, within } from "@testing-library/react";
import { http } from "msw";
import { describe, expect, it, vi } from "vitest";
import { createHandlers } from "../../test/handlers";
import { openApp } from "../../test/render";
import { problem } from "../../test/replies";
import { server } from "../../test/server";

const QUESTION = "有給休暇は何日もらえますか";

describe("the chat", () => {
  it("answers with citations that open the highlighted passage, and gives the focus back", async () => {
    const { router, user } = openApp();
    await user.type(await screen.findByRole("textbox", { name: "Question" }), `${QUESTION}{Enter}`);
    expect(await screen.findByRole("heading", { level: 2, name: QUESTION })).toBeInTheDocument();

    const sources = await screen.findByRole("region", { name: "Sources" });
    expect(within(sources).getAllByRole("button")).toHaveLength(2);
    expect(router.state.location.pathname).toMatch(/^\/c\/conversation-/);
    expect(screen.getByRole("status")).toHaveTextContent("The answer is complete.");
    expect(screen.getByRole("img", { name: /number in this sentence/i })).toBeInTheDocument();

    const marker = screen.getByRole("button", { name: "Source 2: 年次有給休暇規程" });
    await user.click(marker);
    const panel = await screen.findByRole("complementary", { name: "年次有給休暇規程" });
    const quote = await waitFor(() => {
      const mark = panel.querySelector("mark");
      if (!mark) throw new Error("no highlight yet");
      return mark;
    });
    expect(quote).toHaveTextContent(/^休暇を取得しようとする者は.*得なければならない。$/);
    expect(within(panel).getByText("第3章 申請", { selector: "p" })).toBeInTheDocument();
    expect(within(panel).getByRole("button", { name: "Download the original" })).toBeEnabled();

    await user.keyboard("{Escape}");
    expect(screen.queryByRole("complementary")).toBeNull();
    expect(marker).toHaveFocus();
  });

  it("continues the conversation, lists it once, and deletes it", async () => {
    const asked: unknown[] = [];
    server.events.on("request:start", async ({ request }) => {
      if (request.url.endsWith("/ask")) asked.push(await request.clone().json());
    });
    const { router, user } = openApp();
    await user.type(await screen.findByRole("textbox"), `${QUESTION}{Enter}`);
    await screen.findByRole("region", { name: "Sources" });
    await user.type(screen.getByRole("textbox"), "Is there a pension plan?{Enter}");
    expect(await screen.findByText("Not found in your documents")).toBeInTheDocument();
    expect(screen.getAllByRole("region", { name: "Sources" })).toHaveLength(1);
    server.events.removeAllListeners();
    expect(asked).toMatchObject([
      { question: QUESTION },
      {
        question: "Is there a pension plan?",
        conversation: expect.stringMatching(/^conversation-/),
      },
    ]);

    const past = screen.getByRole("navigation", { name: "Conversations" });
    expect(within(past).getAllByRole("link")).toHaveLength(1);
    await user.click(within(past).getByRole("button", { name: /Delete the conversation/ }));
    await user.click(screen.getByRole("button", { name: "Delete" }));
    await waitFor(() => expect(router.state.location.pathname).toBe("/"));
    expect(await within(past).findByText(/will be listed here/)).toBeInTheDocument();
  });

  it("searches only in the chosen collection", async () => {
    let asked: unknown;
    server.events.on("request:start", async ({ request }) => {
      if (request.url.endsWith("/ask")) asked = await request.clone().json();
    });
    const { user } = openApp();
    await screen.findByRole("option", { name: "office" });
    await user.selectOptions(screen.getByRole("combobox", { name: "Search in" }), "office");
    await user.type(screen.getByRole("textbox"), "Where?{Enter}");
    await screen.findByText("Not found in your documents");
    server.events.removeAllListeners();
    expect(asked).toMatchObject({ question: "Where?", collections: ["office"] });
  });

  it("stops: the connection closes, and the draft is called unverified", async () => {
    const fetched = vi.spyOn(globalThis, "fetch");
    server.use(
      http.post("*/api/v1/ask", () => {
        const encoder = new TextEncoder();
        const body = new ReadableStream<Uint8Array>({
          async pull(controller) {
            await new Promise((resolve) => setTimeout(resolve, 5));
            controller.enqueue(encoder.encode('event: delta\ndata: {"text":"word "}\n\n'));
          },
        });
        return new Response(body);
      }),
    );
    const { user } = openApp();
    await user.type(await screen.findByRole("textbox"), "Go on forever{Enter}");
    await screen.findByText(/word word/);
    await user.click(screen.getByRole("button", { name: "Stop" }));
    expect(await screen.findByText(/Stopped. This text was not verified/)).toBeInTheDocument();
    expect(screen.getByText(/word word/)).toBeInTheDocument();
    expect(screen.getByRole("button", { name: "Ask again" })).toBeInTheDocument();
    // Aborting the request is what closes the connection, and so what the server notices.
    const [, init] = fetched.mock.calls.find(([url]) => String(url).endsWith("/ask")) ?? [];
    expect(init?.signal?.aborted).toBe(true);
  });

  it("says what failed, with the request id, and can try again", async () => {
    server.use(
      http.post(
        "*/api/v1/ask",
        () => problem(503, "overloaded", "Overloaded", "the queue is full: try again shortly"),
        { once: true },
      ),
    );
    const { user } = openApp();
    await user.type(await screen.findByRole("textbox"), `${QUESTION}{Enter}`);
    const alert = await screen.findByRole("alert");
    expect(alert).toHaveTextContent("The answer could not be completed: Overloaded");
    expect(alert).toHaveTextContent("the queue is full: try again shortly");
    expect(alert).toHaveTextContent("req-7f3a");
    await user.click(within(alert).getByRole("button", { name: "Try again" }));
    expect(await screen.findByRole("region", { name: "Sources" })).toBeInTheDocument();
    expect(screen.queryByRole("alert")).toBeNull();
  });

  it("goes on answering while another page is shown", async () => {
    server.resetHandlers(...createHandlers({ pace: 5, baseUrl: location.origin }));
    const { router, user } = openApp();
    await user.type(await screen.findByRole("textbox"), `${QUESTION}{Enter}`);
    await waitFor(() => expect(router.state.location.pathname).toMatch(/^\/c\//));
    const { pathname } = router.state.location;
    await user.click(screen.getByRole("link", { name: "Documents" }));
    await screen.findByRole("heading", { level: 1, name: "Documents" });
    await waitFor(() => expect(screen.queryByLabelText("An answer is being written")).toBeNull());
    await router.navigate(pathname);
    expect(await screen.findByRole("region", { name: "Sources" })).toBeInTheDocument();
  });

  it("says so when a conversation is gone", async () => {
    openApp("/c/none");
    expect(await screen.findByRole("alert")).toHaveTextContent(
      "This conversation no longer exists",
    );
  });

  it("still shows the quote when its document was deleted", async () => {
    const { user } = openApp();
    await user.type(await screen.findByRole("textbox"), `${QUESTION}{Enter}`);
    await screen.findByRole("region", { name: "Sources" });
    server.use(
      http.get("*/api/v1/documents/:id/text", () =>
        problem(404, "unknown_document", "Unknown document", "it was deleted"),
      ),
    );
    await user.click(screen.getByRole("button", { name: /^Source 1/ }));
    const panel = await screen.findByRole("complementary");
    expect(await within(panel).findByRole("alert")).toHaveTextContent("it was deleted");
    expect(within(panel).getByText(/10日の年次有給休暇を付与する/)).toBeInTheDocument();
  });
});
