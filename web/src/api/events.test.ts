import { HttpResponse, http } from "msw";
import { describe, expect, it } from "vitest";
import { API_KEY, operatorAccount } from "../test/corpus";
import { eventStream } from "../test/handlers";
import { problem } from "../test/replies";
import { server } from "../test/server";
import { ApiError } from "./errors";
import { ask, BrokenStream } from "./events";
import { currentKey, signIn } from "./session";

async function drain(question = "有給休暇は何日ですか") {
  const events = [];
  for await (const event of ask({ question }, new AbortController().signal)) events.push(event);
  return events;
}

function serve(...events: { event: string; data: unknown }[]) {
  server.use(http.post("*/api/v1/ask", () => eventStream(() => events, 0)));
}

describe("asking", () => {
  it("yields the hits, then the words, then the verified answer", async () => {
    signIn(operatorAccount, API_KEY);
    const events = await drain();
    expect(events[0]?.kind).toBe("retrieved");
    expect(events.at(-1)?.kind).toBe("completed");
    const words = events.flatMap((event) => (event.kind === "delta" ? [event.text] : []));
    const last = events.at(-1);
    expect(last?.kind === "completed" && last.answer.text).toBe(words.join(""));
  });

  it("fails when the stream ends before the answer", async () => {
    serve({ event: "retrieved", data: { conversation: "c", items: [] } });
    await expect(drain()).rejects.toBeInstanceOf(BrokenStream);
  });

  it("fails with the server's problem when the answer fails", async () => {
    const data = {
      type: "t",
      title: "Overloaded",
      status: 503,
      detail: "queue",
      code: "overloaded",
    };
    serve({ event: "failed", data });
    await expect(drain()).rejects.toMatchObject({ code: "overloaded", detail: "queue" });
  });

  it.each([
    [{ event: "surprise", data: {} }, "unknown event: surprise"],
    [{ event: "delta", data: {} }, "delta event without text"],
    [{ event: "completed", data: { id: "a", outcome: "grounded" } }, "without text"],
  ])("refuses an event that is not what it says: %o", async (event, message) => {
    serve(event);
    await expect(drain()).rejects.toThrow(message);
  });

  it("leaves the session when the key no longer holds", async () => {
    signIn(operatorAccount, "kura_old");
    await expect(drain()).rejects.toBeInstanceOf(ApiError);
    expect(currentKey()).toBeNull();
  });

  it("keeps the session on any other refusal, and carries the request id", async () => {
    signIn(operatorAccount, API_KEY);
    server.use(http.post("*/api/v1/ask", () => problem(507, "storage_full", "Full", "no room")));
    await expect(drain()).rejects.toMatchObject({ code: "storage_full", requestId: "req-7f3a" });
    expect(currentKey()).toBe(API_KEY);
  });

  it("waits for a server that has too much to do, and no longer than asked to", async () => {
    const busy = (retryAfter: string) =>
      http.post(
        "*/api/v1/ask",
        () => {
          const response = problem(503, "overloaded", "Overloaded", "retry later");
          response.headers.set("retry-after", retryAfter);
          return response;
        },
        { once: true },
      );
    signIn(operatorAccount, API_KEY);
    server.use(busy("0"), busy("1"));
    expect((await drain()).at(-1)?.kind).toBe("completed");
    server.use(busy("86400"));
    await expect(drain()).rejects.toMatchObject({ code: "overloaded", retryAfter: 86400 });
    server.use(busy("30"));
    const stop = new AbortController();
    const asked = ask({ question: "有給休暇は何日ですか" }, stop.signal).next();
    setTimeout(() => stop.abort(), 50);
    await expect(asked).rejects.toMatchObject({ name: "AbortError" });
  });

  it("makes an error of a reply that is no problem document", async () => {
    server.use(
      http.post("*/api/v1/ask", () => new HttpResponse("<h1>Bad Gateway</h1>", { status: 502 })),
    );
    await expect(drain()).rejects.toMatchObject({ status: 502, code: "unknown" });
  });
});
