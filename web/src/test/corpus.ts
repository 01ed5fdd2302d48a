/** What the imitation server knows: a few documents and the answers that stand on them. */
import type {
  Account,
  Answer,
  Citation,
  Collection,
  Document,
  Flag,
  Hit,
  Span,
} from "../api/types";

export const API_KEY = "kura_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/** Who can sign in at the imitation server; the other password asks for a code, too. */
export const PERSON = {
  name: "taro",
  password: "correct horse battery",
  passwordWithCode: "correct horse battery staple",
  code: "123456",
};

export const readerAccount: Account = {
  id: "user-1",
  kind: "person",
  name: "taro",
  display_name: "Taro Yamada",
  role: "reader",
  permissions: ["anyone", "own", "account", "read"],
  groups: [],
  has_totp: false,
  expires_at: "2030-01-01T00:00:00Z",
};

export const editorAccount: Account = {
  ...readerAccount,
  role: "editor",
  permissions: [...readerAccount.permissions, "write", "watch_jobs"],
};

export const adminAccount: Account = {
  ...readerAccount,
  id: "user-2",
  name: "hanako",
  display_name: "佐藤 花子",
  role: "admin",
  permissions: [...readerAccount.permissions, "watch_jobs", "read_settings", "manage_identity"],
};

/** The holder of the admin key, who may do everything. */
export const operatorAccount: Account = {
  ...editorAccount,
  permissions: [...editorAccount.permissions, "read_settings", "manage_identity", "operate"],
  id: "admin",
  kind: "admin_api_key",
  name: "admin-api-key",
  display_name: "admin-api-key",
  role: null,
  expires_at: null,
};

type Entry = { document: Document; text: string };

const CREATED = "2026-11-18T02:10:00Z";

export function createCorpus(): { collections: Collection[]; entries: Entry[] } {
  const entries = [
    entry("leave", "handbook", "paid-leave.ja.md", "年次有給休暇規程", LEAVE),
    entry("remote", "handbook", "remote-work.en.pdf", "Remote work policy", REMOTE),
    entry("meeting", "office", "会議室のきまり.txt", "会議室のきまり", MEETING),
  ];
  const collections = ["handbook", "office"].map((name) => ({
    id: `collection-${name}`,
    name,
    n_documents: entries.filter(({ document }) => document.collection === name).length,
    n_chunks: 6,
    created_at: CREATED,
  }));
  return { collections, entries };
}

export function entry(
  id: string,
  collection: string,
  source: string,
  title: string,
  text: string,
): Entry {
  return {
    text,
    document: {
      id: `document-${id}`,
      collection,
      source,
      parent: null,
      n_children: 0,
      title,
      media_type: "text/plain",
      size_bytes: byteLength(text),
      sha256: "0".repeat(64),
      version: 1,
      status: "indexed",
      n_chunks: 3,
      warnings: [],
      error: null,
      metadata: {
        tags: [],
        author: null,
        date: null,
        valid_from: null,
        valid_until: null,
        supersedes: [],
        superseded_from: null,
      },
      created_at: CREATED,
      updated_at: CREATED,
    },
  };
}

export function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}

/** The byte span of the first `part` in `text`. */
export function byteSpan(text: string, part: string): Span {
  const index = text.indexOf(part);
  if (index < 0) throw new Error(`not in the text: ${part}`);
  const start = byteLength(text.slice(0, index));
  return { start, end: start + byteLength(part) };
}

const OWN = new Set(["document-leave", "document-remote", "document-meeting"]);

type Script = {
  text: string;
  cites: { marker: number; entry: Entry; quote: string; sentence: string; headings: string[] }[];
  flags: { kind: Flag["kind"]; sentence: string }[];
};

/** The answer to a question, or `null` where no document helps. */
export function reply(question: string, entries: Entry[]): Script | null {
  const of = (id: string) => entries.find(({ document }) => document.id === `document-${id}`);
  const leave = of("leave");
  const remote = of("remote");
  if (leave && /有給|休暇/.test(question)) {
    return {
      text: LEAVE_ANSWER,
      cites: [
        {
          marker: 1,
          entry: leave,
          quote: LEAVE_QUOTE_1,
          sentence: "入社から6か月を経過し、所定労働日の8割以上出勤した方に10日が付与されます。",
          headings: ["第2章 付与", "付与日数"],
        },
        {
          marker: 2,
          entry: leave,
          quote: LEAVE_QUOTE_2,
          sentence:
            "**申請**: 取得日の3営業日前までに勤怠システムから申請し、上長の承認を受けます。",
          headings: ["第3章 申請"],
        },
      ],
      flags: [
        {
          kind: "unsupported_number",
          sentence: "なお、翌年度への繰り越しは20日までです。",
        },
      ],
    };
  }
  if (remote && /remote|home|work/i.test(question)) {
    return {
      text: REMOTE_ANSWER,
      cites: [
        {
          marker: 1,
          entry: remote,
          quote: REMOTE_QUOTE,
          sentence: "You may work remotely **up to three days a week**, agreed with your manager.",
          headings: ["Eligibility and days"],
        },
        {
          marker: 2,
          entry: remote,
          quote: REMOTE_QUOTE_2,
          sentence: "Core hours are 10:00–15:00, when everyone should be reachable.",
          headings: ["Core hours"],
        },
      ],
      flags: [],
    };
  }
  return replyFromUploads(question, entries);
}

/** Answers from what was uploaded: with the first line that has a longer word of the question. */
function replyFromUploads(question: string, entries: Entry[]): Script | null {
  const words = question.match(/[\p{L}\p{N}]{6,}/gu) ?? [];
  for (const entry of entries.filter(({ document }) => !OWN.has(document.id))) {
    const line = entry.text.split("\n").find((line) => words.some((word) => line.includes(word)));
    if (!line) continue;
    const cite = { marker: 1, entry, quote: line, sentence: line, headings: [] };
    return { text: `${line} [1]`, cites: [cite], flags: [] };
  }
  return null;
}

/** The text of a file: as it is, or the strings that an uncompressed PDF shows. */
export function readText(content: string): string {
  if (!content.startsWith("%PDF")) return content;
  return [...content.matchAll(/\(([^()]*)\) Tj/g)].map(([, shown]) => shown).join("\n");
}

export function answerFrom(
  script: Script | null,
  id: string,
  conversation: string,
): { answer: Answer; hits: Hit[] } {
  const citations = (script?.cites ?? []).map(
    ({ marker, entry: { document, text }, quote, sentence, headings }): Citation => ({
      marker,
      document: document.id,
      chunk: `${document.id}:${document.version}:${marker}`,
      title: document.title,
      source: document.source,
      page: document.source.endsWith(".pdf") ? marker + 1 : null,
      range: null,
      headings,
      quote,
      quote_span: byteSpan(text, quote),
      answer_span: byteSpan(script?.text ?? "", sentence),
    }),
  );
  const hits = citations.map(
    (citation, index): Hit => ({
      document: citation.document,
      chunk: citation.chunk,
      title: citation.title,
      source: citation.source,
      collection: "handbook",
      text: citation.quote,
      page: citation.page,
      range: null,
      headings: citation.headings,
      score: 1 / (60 + index),
      rerank_score: null,
      dense_rank: index + 1,
      lexical_rank: index + 1,
      span: citation.quote_span,
    }),
  );
  const answer: Answer = {
    id,
    conversation,
    outcome: script ? "grounded" : "no_evidence",
    mode: "generate",
    text: script?.text ?? "",
    citations,
    flags: (script?.flags ?? []).map(({ kind, sentence }) => ({
      kind,
      text: sentence,
      answer_span: byteSpan(script?.text ?? "", sentence),
    })),
    finish_reason: "stop",
    usage: script
      ? { prompt_tokens: 1184, cached_tokens: 512, completion_tokens: 96 }
      : { prompt_tokens: 0, cached_tokens: 0, completion_tokens: 0 },
    generator: script ? "qwen2.5-coder-1.5b-instruct-q4_k_m" : null,
    timings_ms: script
      ? { retrieve: 38, first_token: 2140, generate: 7320, verify: 85, total: 7460 }
      : { retrieve: 41, first_token: 0, generate: 0, verify: 0, total: 44 },
  };
  return { answer, hits };
}

const LEAVE_QUOTE_1 =
  "入社日から起算して6か月を経過し、全労働日の8割以上を出勤した従業員に、10日の年次有給休暇を付与する。";
const LEAVE_QUOTE_2 =
  "休暇を取得しようとする者は、取得日の3営業日前までに勤怠システムで申請し、上長の承認を得なければならない。";
const LEAVE_ANSWER = `年次有給休暇は、次の条件で取得できます。

- **付与**: 入社から6か月を経過し、所定労働日の8割以上出勤した方に10日が付与されます。[1]
- **申請**: 取得日の3営業日前までに勤怠システムから申請し、上長の承認を受けます。[2]

なお、翌年度への繰り越しは20日までです。`;

const LEAVE = `年次有給休暇規程

第1章 総則

この規程は、従業員の心身の疲労を回復し、ゆとりある生活を保障するため、年次有給休暇の取扱いを定める。𠮷田本社および全国の支社に適用する。

第2章 付与

付与日数

${LEAVE_QUOTE_1}その後は勤続年数に応じて日数を加算する。

勤続1年6か月で11日、2年6か月で12日、3年6か月で14日とする。

第3章 申請

${LEAVE_QUOTE_2}

急な病気その他やむを得ない事情があるときは、事後の申請を認めることがある。この場合、始業時刻までに電話またはメールで連絡する。

第4章 繰越し

未取得の年次有給休暇は、翌年度に限り繰り越すことができる。
`;

const REMOTE_QUOTE =
  "Employees who have completed their probation may work remotely up to three days a week, on days agreed with their manager.";
const REMOTE_QUOTE_2 =
  "Core hours are 10:00 to 15:00. During core hours everyone is reachable by chat and phone.";
const REMOTE_ANSWER = `You may work remotely **up to three days a week**, agreed with your manager. [1]

Core hours are 10:00–15:00, when everyone should be reachable. [2]`;

const REMOTE = `Remote work policy

Purpose

This policy says who may work away from the office, on which days, and what the company provides. It applies to every office — Tokyo, Osaka and Sendai.

Eligibility and days

${REMOTE_QUOTE} Requests for more days need the approval of the department head.

Core hours

${REMOTE_QUOTE_2} Outside of them, each team agrees on its own rhythm.

Equipment

The company lends a laptop, a headset and, on request, a second screen. Equipment is returned within ten days of leaving.

Security

Only company devices may open company data. Paper documents stay in the office.
`;

const MEETING = `会議室のきまり

予約は前日までに入れてください。使い終わったら机を拭き、ホワイトボードを消してください。
`;
