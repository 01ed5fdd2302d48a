import { describe, expect, it } from "vitest";
import { EventParser, readEvents } from "./sse";

const TWO = [
  { event: "delta", data: '{"text":"蔵"}' },
  { event: "completed", data: "line 1\nline 2" },
];

function bytes(...pieces: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
}

async function collect(stream: ReadableStream<Uint8Array>) {
  const events = [];
  for await (const event of readEvents(stream)) events.push(event);
  return events;
}

describe("the event stream reader", () => {
  it.each(["\n", "\r\n", "\r"])("reads events whose lines end with %j", (end) => {
    const text = [
      "event: delta",
      'data: {"text":"蔵"}',
      "",
      "event:completed",
      "data: line 1",
      "data:line 2",
      "",
      "",
    ].join(end);
    expect(new EventParser().push(text)).toEqual(TWO);
  });

  it.each(["\n", "\r\n"])("reads the same whatever the cuts, with %j", async (end) => {
    const text = `event: delta\ndata: {"text":"蔵"}\n\nevent: completed\ndata: line 1\ndata: line 2\n\n`;
    const encoded = new TextEncoder().encode(text.replaceAll("\n", end));
    for (let size = 1; size < 9; size++) {
      const pieces = [];
      for (let at = 0; at < encoded.length; at += size) pieces.push(encoded.slice(at, at + size));
      expect(await collect(bytes(...pieces))).toEqual(TWO);
    }
  });

  it("skips comments, ids, retry hints and events without data", () => {
    const text = ": keep-alive\n\nid: 7\nretry: 10\n\nevent: ping\n\ndata: here\n\n";
    expect(new EventParser().push(text)).toEqual([{ event: "message", data: "here" }]);
  });

  it("drops an event that the end cuts off", async () => {
    expect(await collect(bytes(new TextEncoder().encode("event: delta\ndata: {}")))).toEqual([]);
  });

  it("keeps only one space off the front of a value", () => {
    expect(new EventParser().push("data:  two\n\n")).toEqual([{ event: "message", data: " two" }]);
  });

  it("closes the connection when the reader leaves early", async () => {
    let cancelled = false;
    const stream = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode("data: x\n\n")),
      cancel: () => {
        cancelled = true;
      },
    });
    for await (const _ of readEvents(stream)) break;
    expect(cancelled).toBe(true);
  });
});
