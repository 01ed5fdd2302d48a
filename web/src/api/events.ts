/** The two event streams of the server: the answer to a question, and the progress of a job. */
import { refusal } from "./client";
import { ApiError, isProblem } from "./errors";
import { currentAuthorization } from "./session";
import { readEvents, type ServerEvent } from "./sse";
import type { Answer, Hit, Job, Question } from "./types";

export type AnswerEvent =
  | { kind: "retrieved"; conversation: string; items: Hit[] }
  | { kind: "delta"; text: string }
  | { kind: "completed"; answer: Answer };

/** The stream ended before the answer did. */
export class BrokenStream extends Error {
  constructor() {
    super("the connection ended before the answer was complete");
    this.name = "BrokenStream";
  }
}

/**
 * Asks a question and yields the answer as it comes; `completed` is the last event.
 * Aborting `signal` closes the connection, which makes the server stop writing.
 * *Errors:* `ApiError` when the server refuses or fails, `BrokenStream` when the stream is cut.
 */
export async function* ask(question: Question, signal: AbortSignal): AsyncGenerator<AnswerEvent> {
  const stream = await open("/api/v1/ask", signal, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...question, stream: true }),
  });
  for await (const { event, data } of readEvents(stream, signal)) {
    const read = readAnswerEvent({ event, data });
    yield read;
    if (read.kind === "completed") return;
  }
  throw new BrokenStream();
}

/** Yields a job each time that it moves; the last one is `done` or `failed`. */
export async function* followJob(id: string, signal: AbortSignal): AsyncGenerator<Job> {
  const stream = await open(`/api/v1/jobs/${encodeURIComponent(id)}/events`, signal);
  for await (const { event, data } of readEvents(stream, signal)) {
    if (event === "job") yield parse<Job>(event, data, ["id", "state", "progress"]);
  }
}

function readAnswerEvent({ event, data }: ServerEvent): AnswerEvent {
  switch (event) {
    case "retrieved": {
      const { conversation, items } = parse<{ conversation: string; items: Hit[] }>(event, data, [
        "conversation",
        "items",
      ]);
      return { kind: "retrieved", conversation, items };
    }
    case "delta":
      return { kind: "delta", text: parse<{ text: string }>(event, data, ["text"]).text };
    case "completed":
      return {
        kind: "completed",
        answer: parse<Answer>(event, data, ["id", "outcome", "text", "citations", "flags"]),
      };
    case "failed": {
      const problem: unknown = JSON.parse(data);
      if (isProblem(problem)) throw new ApiError(problem, null);
      throw new Error("the server sent a failure without a problem");
    }
    default:
      throw new Error(`the server sent an unknown event: ${event}`);
  }
}

/** Reads an event's data, and checks that the fields which tell its kind apart are there. */
function parse<T>(event: string, data: string, fields: (keyof T & string)[]): T {
  const value: unknown = JSON.parse(data);
  const missing = fields.find(
    (field) => typeof value !== "object" || value === null || !(field in value),
  );
  if (missing) throw new Error(`the server sent a ${event} event without ${missing}`);
  return value as T;
}

/** How long a question waits for a server that has too much to do. */
const PATIENCE_MS = 60_000;

/** Opens a stream; as long as the server says that it has too much to do and when to try again, tries again. */
async function open(path: string, signal: AbortSignal, init: RequestInit = {}) {
  const authorization = currentAuthorization();
  const headers = new Headers(init.headers);
  headers.set("accept", "text/event-stream");
  if (authorization) headers.set("authorization", authorization);
  const until = Date.now() + PATIENCE_MS;
  for (;;) {
    const response = await fetch(new URL(path, globalThis.location.origin), {
      ...init,
      headers,
      credentials: "same-origin",
      signal,
    });
    if (response.ok && response.body) return response.body;
    if (response.ok) throw new BrokenStream();
    const error = await refusal(authorization, response);
    const passes = error.code === "overloaded" || error.code === "rate_limited";
    const pause = passes && error.retryAfter !== null ? error.retryAfter * 1000 : PATIENCE_MS;
    if (Date.now() + pause >= until) throw error;
    await sleep(pause, signal);
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve();
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
