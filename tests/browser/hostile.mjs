/** Answers of kura's API whose every text is a payload, as a model or a document might have made them. */

const NOW = "2026-01-01T00:00:00Z";
const bytes = (text) => new TextEncoder().encode(text).length;
const uuid = (n) => `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`;

/** A conversation in which each payload is a question, and the answer to it with all that stands around an answer. */
export function conversation(n, payloads) {
  const messages = payloads.flatMap((payload, i) => [
    {
      role: "user", content: payload.text, answer: null, feedback: null,
      created_at: `2026-01-01T00:${String(Math.floor(i / 60)).padStart(2, "0")}:${String(i % 60).padStart(2, "0")}Z`,
    },
    { role: "assistant", content: payload.text, answer: answer(n, payload), feedback: feedback(payload), created_at: NOW },
  ]);
  return { id: uuid(n), title: payloads[0].text, messages };
}

/** An answer of a model that writes the payload as it is, with a citation that says the same. */
export function answer(n, { id, text }) {
  const written = `${text}\n\nThat is so.[1] ${text}[2]`;
  return {
    id: uuid(100_000 + id), conversation: uuid(n), outcome: "grounded", mode: "generate", text: written,
    citations: [1, 2].map((marker) => citation(marker, text, written)),
    flags: [
      { kind: "unsupported_number", text, answer_span: { start: 0, end: bytes(text) } },
      { kind: "uncited_sentence", text, answer_span: { start: bytes(text) + 2, end: bytes(written) } },
    ],
    support: 0.9, finish_reason: "length", generator: text,
    usage: { prompt_tokens: 10, cached_tokens: 1, completion_tokens: 10 },
    timings_ms: { retrieve: 1, first_token: 2, generate: 3, verify: 4, total: 10 },
  };
}

function citation(marker, text, written) {
  return {
    marker, document: uuid(marker), chunk: `${uuid(marker)}:1:0`, title: text, source: `${text}.html`, page: null, range: text,
    headings: [text, text], quote: text, quote_span: { start: 0, end: bytes(text) },
    answer_span: { start: 0, end: bytes(written) },
  };
}

function feedback({ text }) {
  return { rating: "down", comment: text, corrected_answer: text, document: uuid(1), created_at: NOW, updated_at: NOW };
}

export function document({ id, text }, status = "failed") {
  return {
    id: uuid(200_000 + id), collection: text, source: `${text}.html`, parent: null, n_children: 1, title: text,
    media_type: text, size_bytes: 1, sha256: text, version: 2, status, n_chunks: 1, warnings: [text], error: text,
    metadata: { tags: [text], author: text, date: null, valid_from: null, valid_until: null, supersedes: [text], superseded_from: null },
    created_at: NOW, updated_at: NOW,
  };
}

export function collection({ id, text }) {
  return { id: uuid(300_000 + id), name: text, n_documents: 1, n_chunks: 1, created_at: NOW };
}

export function account(text) {
  return {
    id: text, kind: "person", name: text, display_name: text, role: "editor", permissions: ["read", "write"], groups: [text],
    has_totp: false, expires_at: null,
  };
}

export function problem(text) {
  return { type: text, title: text, status: 500, detail: text, instance: text, code: "internal" };
}

/** The stream of an answer that breaks off, which leaves what was written so far on the page, with the reason. */
export function brokenStream(n, payloads) {
  const events = [["retrieved", { conversation: uuid(n), items: [] }]];
  for (const { text } of payloads) {
    // In pieces, as tokens come: markup is cut anywhere.
    for (let at = 0; at < text.length; at += 7) events.push(["delta", { text: text.slice(at, at + 7) }]);
    events.push(["delta", { text: "\n\n" }]);
  }
  events.push(["failed", problem(payloads.map(({ text }) => text).join(" "))]);
  return events.map(([event, data]) => `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`).join("");
}
