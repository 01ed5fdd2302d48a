/** A reader of `text/event-stream` bodies, after the HTML standard's "server-sent events". */

export type ServerEvent = { event: string; data: string };

/**
 * Yields the events of a stream in order.
 * Aborting `signal` closes the connection and throws its reason.
 * Comments, ids and retry hints are skipped, as is an event that the end of the stream cuts off.
 */
export async function* readEvents(
  body: ReadableStream<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  // A read that waits for the next bytes ends at once, whoever made the stream.
  const stop = () => void reader.cancel().catch(() => undefined);
  signal?.addEventListener("abort", stop);
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      signal?.throwIfAborted();
      if (done) return;
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    // Reached on an early `break` too: the server then sees the connection close.
    await reader.cancel().catch(() => undefined);
  }
}

/** Splits text, however it was cut into pieces, into events. */
export class EventParser {
  private line = "";
  private afterReturn = false;
  private event = "";
  private data: string[] = [];

  push(text: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    for (const char of text) {
      const startsWithFeed = this.afterReturn && char === "\n";
      this.afterReturn = char === "\r";
      // The feed of a CRLF: its line ended at the return, which may have come in an earlier piece.
      if (startsWithFeed) continue;
      if (char !== "\n" && char !== "\r") {
        this.line += char;
        continue;
      }
      const complete = this.endLine();
      if (complete) events.push(complete);
    }
    return events;
  }

  private endLine(): ServerEvent | null {
    const line = this.line;
    this.line = "";
    if (line === "") return this.dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.event = value;
    if (field === "data") this.data.push(value);
    return null;
  }

  private dispatch(): ServerEvent | null {
    const { event, data } = this;
    this.event = "";
    this.data = [];
    return data.length === 0 ? null : { event: event || "message", data: data.join("\n") };
  }
}
