/** An imitation of the server, typed by its schema: when the schema changes, this stops compiling. */
import { createOpenApiHttp } from "openapi-msw";
import type { paths } from "../api/schema";
import type {
  Account,
  Collection,
  Conversation,
  ConversationDetail,
  Document,
  Feedback,
  Hit,
  Job,
  Question,
} from "../api/types";
import {
  API_KEY,
  answerFrom,
  byteLength,
  createCorpus,
  editorAccount,
  entry,
  operatorAccount,
  PERSON,
  readText,
  reply,
} from "./corpus.ts";
import { createIdentityHandlers } from "./identity.ts";
import { notFound, now, problem } from "./replies.ts";

export type MockOptions = {
  /** The pause between two pieces of a stream, in milliseconds. */
  pace: number;
  baseUrl: string;
  empty?: boolean;
  /** Who has the cookie of a session from the beginning. */
  account?: Account;
};

export function createHandlers({ pace, baseUrl, empty = false, account }: MockOptions) {
  const http = createOpenApiHttp<paths>({ baseUrl });
  const corpus = createCorpus();
  const collections: Collection[] = empty ? [] : corpus.collections;
  const entries = empty ? [] : corpus.entries;
  const jobs = new Map<string, Job>();
  const conversations = new Map<string, Conversation & ConversationDetail>();
  let nextId = 1;
  // Whether the browser has the cookie of a session.
  let cookie = account !== undefined;
  const allowed = (request: { headers: Headers }) =>
    cookie || request.headers.get("authorization") === `Bearer ${API_KEY}`;
  const id = (kind: string) => `${kind}-${nextId++}`;

  const collectionNamed = (name: string) => {
    const known = collections.find((collection) => collection.name === name);
    if (known) return known;
    const made = { id: id("collection"), name, n_documents: 0, n_chunks: 0, created_at: now() };
    collections.push(made);
    return made;
  };
  const documentOf = (given: string | readonly string[] | undefined) =>
    entries.find(({ document }) => document.id === given);

  const messageOf = (given: string | readonly string[] | undefined) =>
    [...conversations.values()]
      .flatMap(({ messages }) => messages)
      .find(({ answer }) => answer?.id === given);

  return [
    http.post("/api/v1/session", async ({ request, response }) => {
      const { name, password, totp } = await request.json();
      const needsCode = password === PERSON.passwordWithCode;
      if (name === PERSON.name && needsCode && !totp) {
        return response.untyped(problem(401, "code_required", "Code required", "send a code"));
      }
      const isRight = needsCode ? totp === PERSON.code : password === PERSON.password;
      if (name !== PERSON.name || !isRight) {
        return response.untyped(problem(401, "invalid_credentials", "Not signed in", "wrong"));
      }
      cookie = true;
      return response(200).json(editorAccount);
    }),
    http.get("/api/v1/session/oidc", ({ response }) =>
      response(200).json({ offered: false, label: null }),
    ),
    http.get("/api/v1/session", ({ request, response }) => {
      if (!allowed(request)) return response.untyped(unauthorized());
      return response(200).json(cookie ? (account ?? editorAccount) : operatorAccount);
    }),
    http.delete("/api/v1/session", ({ response }) => {
      cookie = false;
      return response(204).empty();
    }),
    http.get("/api/v1/collections", ({ request, response }) => {
      if (!allowed(request)) return response.untyped(unauthorized());
      return response(200).json({ items: collections, next_cursor: null });
    }),
    http.post("/api/v1/collections", async ({ request, response }) => {
      const { name } = await request.json();
      if (collections.some((collection) => collection.name === name)) {
        return response.untyped(
          problem(
            409,
            "collection_exists",
            "Conflict",
            `a collection named ${name} exists already`,
          ),
        );
      }
      return response(201).json(collectionNamed(name));
    }),
    http.delete("/api/v1/collections/{name}", ({ params, response }) => {
      const index = collections.findIndex(({ name }) => name === params.name);
      collections.splice(index, 1);
      return response(204).empty();
    }),
    http.get("/api/v1/documents", ({ query, response }) => {
      const collection = query.get("collection");
      const items = entries
        .map(({ document }) => document)
        .filter((document) => collection === null || document.collection === collection);
      return response(200).json({ items, next_cursor: null });
    }),
    http.post("/api/v1/documents", async ({ request, response }) => {
      const form = await (request as unknown as Request).formData();
      const name = String(form.get("collection"));
      const file = form.get("file") as File;
      const text = readText(await file.text());
      // As the server does for an editor: only those who may read everything make a collection by adding to it.
      const collection = collections.find((collection) => collection.name === name);
      if (!collection) {
        return response.untyped(
          problem(404, "unknown_collection", "Unknown collection", `there is no ${name}`),
        );
      }
      collection.n_documents++;
      const added = entry(id("document"), name, file.name, file.name, text);
      added.document.status = "pending";
      added.document.updated_at = now();
      added.document.size_bytes = byteLength(text);
      entries.push(added);
      const job = newJob(id("job"), added.document);
      jobs.set(job.id, job);
      const { document } = added;
      return response(202).json({ items: [{ document, job, outcome: "new" }] });
    }),
    http.delete("/api/v1/documents/{id}", ({ params, response }) => {
      const index = entries.findIndex(({ document }) => document.id === params.id);
      if (index < 0) return response.untyped(notFound("unknown_document"));
      const [gone] = entries.splice(index, 1);
      if (gone) collectionNamed(gone.document.collection).n_documents--;
      return response(204).empty();
    }),
    http.get("/api/v1/documents/{id}/text", ({ params, response }) => {
      const known = documentOf(params.id);
      if (!known) return response.untyped(notFound("unknown_document"));
      const { document, text } = known;
      const { title, version } = document;
      return response(200).json({ document: document.id, title, text, version });
    }),
    http.get("/api/v1/documents/{id}/content", ({ params, response }) => {
      const known = documentOf(params.id);
      if (!known) return response.untyped(notFound("unknown_document"));
      return response.untyped(new Response(known.text));
    }),
    http.get("/api/v1/jobs", ({ response }) =>
      response(200).json({ items: [...jobs.values()], next_cursor: null }),
    ),
    http.get("/api/v1/jobs/{id}", ({ params, response }) => {
      const job = jobs.get(String(params.id));
      return job ? response(200).json(job) : response.untyped(notFound("unknown_job"));
    }),
    http.get("/api/v1/jobs/{id}/events", ({ params, response }) => {
      const job = jobs.get(String(params.id));
      if (!job) return response.untyped(notFound("unknown_job"));
      const target = documentOf(job.document);
      return response.untyped(eventStream(() => jobSteps(job, target?.document), pace * 8));
    }),
    http.post("/api/v1/ask", async ({ request, response }) => {
      if (!allowed(request)) return response.untyped(unauthorized());
      const question: Question = await request.json();
      const steps = () => askSteps(question, conversations, entries, id);
      return response.untyped(eventStream(steps, pace));
    }),
    http.get("/api/v1/conversations", ({ response }) => {
      const items = [...conversations.values()].reverse();
      return response(200).json({ items, next_cursor: null });
    }),
    http.get("/api/v1/conversations/{id}", ({ params, response }) => {
      const known = conversations.get(String(params.id));
      return known ? response(200).json(known) : response.untyped(notFound("unknown_conversation"));
    }),
    http.put("/api/v1/answers/{id}/feedback", async ({ params, request, response }) => {
      const message = messageOf(params.id);
      if (!message) return response.untyped(notFound("unknown_answer"));
      const given = await request.json();
      const feedback: Feedback = {
        rating: given.rating,
        comment: given.comment ?? null,
        corrected_answer: given.corrected_answer ?? null,
        document: given.document ?? null,
        created_at: message.feedback?.created_at ?? now(),
        updated_at: now(),
      };
      message.feedback = feedback;
      return response(200).json(feedback);
    }),
    http.delete("/api/v1/answers/{id}/feedback", ({ params, response }) => {
      const message = messageOf(params.id);
      if (!message?.feedback) return response.untyped(notFound("unknown_feedback"));
      message.feedback = null;
      return response(204).empty();
    }),
    http.get("/api/v1/documents/{id}", ({ params, response }) => {
      const known = documentOf(params.id);
      if (!known) return response.untyped(notFound("unknown_document"));
      return response(200).json(known.document);
    }),
    http.post("/api/v1/search", async ({ response }) => {
      const items = entries.map(({ document, text }) => hitOf(document, text));
      const timings_ms = {
        embed: 1,
        dense: 1,
        lexical: 1,
        hydrate: 1,
        late_interaction: 1,
        cross_encoder: 0,
        fuse: 1,
        total: 6,
      };
      return response(200).json({ items, dropped: [], timings_ms });
    }),
    http.delete("/api/v1/conversations/{id}", ({ params, response }) => {
      conversations.delete(String(params.id));
      return response(204).empty();
    }),
    ...createIdentityHandlers(http, empty),
  ];
}

/** A response that sends its events one after the other, and stops when nobody listens. */
export function eventStream(
  steps: () => Iterable<{ event: string; data: unknown }>,
  pace: number,
): Response {
  const encoder = new TextEncoder();
  const events = steps()[Symbol.iterator]();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (pace > 0) await new Promise((resolve) => setTimeout(resolve, pace));
      const { done, value } = events.next();
      if (done) return controller.close();
      const text = `event: ${value.event}\ndata: ${JSON.stringify(value.data)}\n\n`;
      controller.enqueue(encoder.encode(text));
    },
  });
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

function hitOf(document: Document, text: string): Hit {
  return {
    document: document.id,
    chunk: `${document.id}:1:0`,
    title: document.title,
    source: document.source,
    collection: document.collection,
    text,
    page: null,
    range: null,
    headings: [],
    score: 1,
    dense_rank: 1,
    lexical_rank: null,
    rerank_score: null,
    span: { start: 0, end: byteLength(text) },
  };
}

function* askSteps(
  { question, collections, conversation }: Question,
  conversations: Map<string, Conversation & ConversationDetail>,
  entries: ReturnType<typeof createCorpus>["entries"],
  id: (kind: string) => string,
) {
  const key = conversation ?? id("conversation");
  const script = reply(
    question,
    entries.filter(({ document }) => collections?.includes(document.collection) ?? true),
  );
  const { answer, hits } = answerFrom(script, id("answer"), key);
  const known = conversations.get(key) ?? {
    id: key,
    title: question,
    created_at: now(),
    updated_at: now(),
    messages: [],
  };
  conversations.set(key, known);
  yield { event: "retrieved", data: { conversation: key, items: hits } };
  for (const piece of answer.text.match(/[\s\S]{1,4}/g) ?? []) {
    yield { event: "delta", data: { text: piece } satisfies { text: string } };
  }
  known.messages.push(
    { role: "user", content: question, answer: null, feedback: null, created_at: now() },
    { role: "assistant", content: answer.text, answer, feedback: null, created_at: now() },
  );
  yield { event: "completed", data: answer };
}

const STAGES = ["extract", "chunk", "embed", "embed", "embed", "store"] as const;

function* jobSteps(job: Job, document: Document | undefined) {
  for (const [i, stage] of STAGES.entries()) {
    Object.assign(job, { state: "running", stage, progress: i / STAGES.length });
    yield { event: "job", data: job };
  }
  const bad = job.source.includes("broken");
  Object.assign(job, {
    state: bad ? "failed" : "done",
    stage: null,
    progress: 1,
    error: bad ? "the PDF is encrypted: remove its password and add it again" : null,
    finished_at: now(),
  });
  if (document) {
    document.status = bad ? "failed" : "indexed";
    document.error = job.error;
  }
  yield { event: "job", data: job };
}

function newJob(id: string, document: Document): Job {
  return {
    id,
    kind: "ingest",
    document: document.id,
    source: document.source,
    collection: document.collection,
    state: "queued",
    priority: "high",
    stage: null,
    progress: 0,
    code: null,
    error: null,
    remedy: null,
    attempts: 0,
    next_attempt_at: null,
    size_bytes: document.size_bytes,
    n_chunks: 0,
    n_embedded: 0,
    n_reused: 0,
    chunks_per_second: null,
    eta_secs: null,
    created_at: now(),
    started_at: null,
    finished_at: null,
  };
}

function unauthorized(): Response {
  return problem(401, "unauthorized", "Unauthorized", "the API key is not valid");
}
