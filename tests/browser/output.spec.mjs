/**
 * Nothing that a document, a person or a model writes comes to life in a browser: each of 1,000 payloads stands in every
 * place where kura's page, its reports and its downloads show what others wrote. No script may run, no request may leave,
 * and nothing may need the policy to stop it. `control.spec.mjs` shows that what watches here sees such things.
 *
 * KURA_TEST_PAYLOADS says how many; KURA_BIN and KURA_DATA_DIR lead to the commands that write reports.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import * as hostile from "./hostile.mjs";
import { makePayloads } from "./payloads.mjs";
import { openBrowser, settings } from "./support.mjs";
import { findLive, hostsOf, touchEverything, watch } from "./watch.mjs";

const payloads = makePayloads(Number(process.env.KURA_TEST_PAYLOADS ?? 1000));
const COLLECTION = "attacks";
const PERSON = { name: "mallory", password: "correct horse battery staple" };
const origin = new URL(settings.url).origin;
let folder;
let browser;
let page;
let seen;
/** How often a payload was on a page. */
let shown = 0;

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "kura-output-"));
  browser = await openBrowser({ flags: [`--log-net-log=${path.join(folder, "net.json")}`] });
  page = browser.page;
  seen = await watch(browser.context, [origin]);
  await browser.context.addInitScript((key) => {
    if (location.protocol === "http:" && window === top) sessionStorage.setItem("kura.api-key", key);
  }, settings.apiKey);
});

after(async () => {
  await browser?.close().catch(() => undefined);
  await rm(folder, { recursive: true, force: true });
});

test("documents whose text, title and file name they are", async () => {
  await call("POST", "/api/v1/collections", { name: COLLECTION });
  for (const batch of chunks(payloads, 100)) {
    const form = new FormData();
    form.append("collection", COLLECTION);
    for (const payload of batch) {
      form.append("source", fileName(payload));
      form.append("file", new Blob([asDocument(payload)], { type: "text/html" }), "document.html");
    }
    await call("POST", "/api/v1/documents", form);
  }
  await jobsAreDone();
  await page.goto(`${origin}/documents`);
  await page.getByRole("button", { name: new RegExp(`^${COLLECTION} `) }).click();
  const rows = page.getByRole("region", { name: "Stored documents" }).getByRole("article");
  await rows.first().waitFor();
  const more = page.getByRole("button", { name: "Show more" });
  while ((await more.count()) > 0) {
    const before = await rows.count();
    await more.click();
    await page.waitForFunction((n) => document.querySelectorAll("article").length > n, before);
  }
  assert.equal(await rows.count(), payloads.length);
  const text = squeeze(await page.evaluate(() => document.body.textContent));
  const missing = payloads.filter((payload) => !text.includes(squeeze(title(payload))));
  assert.deepEqual(missing.map(({ vector }) => vector), [], "titles are shown as they are");
  await endures("the documents", payloads.length);
  await rows.first().getByRole("button", { name: /^Delete / }).click();
  await page.getByRole("dialog").waitFor();
  await endures("the question before deleting", 1);
});

test("uploads whose names they are", async () => {
  await page.goto(`${origin}/documents`);
  await page.getByLabel("Add to").selectOption({ label: COLLECTION });
  const files = payloads.slice(0, 100).map((payload) => ({
    name: fileName(payload).replaceAll("/", "_"), mimeType: "text/html", buffer: Buffer.from(asDocument(payload)),
  }));
  await page.locator("input[type=file]").setInputFiles(files);
  await page.getByRole("region", { name: "Being added" }).getByText(/onerror|script/).first().waitFor();
  await endures("the uploads", files.length);
  await jobsAreDone();
});

test("questions that they are, and answers of the documents' own sentences", async () => {
  const batches = chunks(payloads, 50);
  let cited = 0;
  for (const batch of batches) {
    const question = `What is the description of attack number ${batch[0].id}?\n${batch.map(({ text }) => text).join("\n")}`;
    const body = { question, collections: [COLLECTION], mode: "extractive", stream: false };
    const answer = await call("POST", "/api/v1/ask", body);
    cited += answer.citations.length > 0 ? 1 : 0;
    await page.goto(`${origin}/c/${answer.conversation}`);
    await page.getByRole("heading", { level: 2 }).filter({ hasText: `attack number ${batch[0].id}?` }).waitFor();
    if (answer.citations.length > 0) {
      await page.getByRole("region", { name: "Sources" }).getByRole("button").first().click();
      await page.getByRole("complementary").locator("mark, blockquote").first().waitFor();
    }
    await endures(`the answer ${answer.conversation}`, batch.length, { links: true });
  }
  assert.ok(cited >= batches.length / 2, `only ${cited} of ${batches.length} answers cite anything`);
});

test("answers that a model wrote, with titles, quotes, doubts and ratings", async () => {
  let n = 1;
  await page.route("**/api/v1/conversations/*", (route) => route.fulfill({ json: current }));
  await page.route("**/api/v1/documents/*/text", (route) =>
    route.fulfill({ json: { document: "x", title: payloads[n].text, text: current.messages.map(({ content }) => content).join("\n"), version: 1 } }));
  await page.route("**/api/v1/documents/00000000-*", (route) => route.fulfill({ json: hostile.document(payloads[n], "indexed") }));
  let current;
  for (const batch of chunks(payloads, 100)) {
    n += 1;
    current = hostile.conversation(n, batch);
    await page.goto(`${origin}/c/${current.id}`);
    await page.getByRole("region", { name: "Sources" }).nth(batch.length - 1).waitFor();
    await page.getByRole("button", { name: "Edit details" }).first().click();
    await page.getByLabel("Comment").waitFor();
    await page.getByRole("region", { name: "Sources" }).first().getByRole("button").first().click();
    await page.getByRole("complementary").locator("mark, blockquote").first().waitFor();
    await page.evaluate(() => {
      for (const details of document.querySelectorAll("details")) details.open = true;
    });
    await endures(`the model's answers ${n}`, batch.length, { links: true });
  }
  await page.unrouteAll();
});

test("answers that a model is writing, and then fails", async () => {
  let stream;
  await page.route("**/api/v1/ask", (route) => route.fulfill({ contentType: "text/event-stream", body: stream }));
  let n = 1000;
  for (const batch of chunks(payloads, 50)) {
    n += 1;
    stream = hostile.brokenStream(n, batch);
    await page.goto(origin);
    const box = page.getByRole("textbox", { name: "Question" });
    await box.fill(batch[0].text);
    await box.press("Enter");
    await page.locator('[data-draft="true"]').waitFor();
    await page.getByText("Try again").first().waitFor();
    await endures(`the draft ${n}`, batch.length, { links: true });
  }
  await page.unrouteAll();
});

test("names of people", async () => {
  await call("POST", "/api/v1/users", { ...PERSON, role: "editor" });
  // Of what one name holds, some for the whole way; the page reads the name anew each time.
  const short = payloads.filter(({ text }) => text.length <= 200 && !/[\u0000-\u001f\u007f-\u009f]/.test(text));
  const names = short.filter((_, i) => i % Math.ceil(short.length / 40) === 0);
  const key = await call("POST", "/api/v1/api-keys", { name: "mallory's", user: PERSON.name });
  const context = { authorization: `Bearer ${key.key}` };
  await page.route("**/api/**", (route) => route.continue({ headers: { ...route.request().headers(), ...context } }));
  for (const { text } of names) {
    await call("PATCH", `/api/v1/users/${PERSON.name}`, { display_name: text });
    await page.goto(`${origin}/documents`);
    await page.waitForFunction((name) => document.body.textContent.includes(name), text.trim());
    await endures("a person's name", 1);
  }
  await page.unrouteAll();
  assert.ok(names.length >= 20, `${names.length} names`);
  let joined;
  await page.route("**/api/v1/session", (route) => route.fulfill({ json: hostile.account(joined) }));
  for (const batch of chunks(payloads, 100)) {
    joined = batch.map(({ text }) => text).join(" ");
    await page.goto(`${origin}/documents`);
    await page.getByRole("heading", { level: 1, name: "Documents" }).waitFor();
    await endures("names of people", batch.length);
  }
  await page.unrouteAll();
});

test("names of collections, of which the server takes none, and whatever else it could send", async () => {
  for (const { text } of payloads) {
    const { status } = await send("POST", "/api/v1/collections", { name: text });
    assert.equal(status, 400, text);
  }
  await page.route("**/api/v1/collections?*", (route) => route.fulfill({ json: { items: payloads.map(hostile.collection), next_cursor: null } }));
  await page.route("**/api/v1/documents?*", (route) => route.fulfill({ json: { items: payloads.map((payload) => hostile.document(payload)), next_cursor: null } }));
  await page.route("**/api/v1/conversations?*", (route) =>
    route.fulfill({ json: { items: payloads.map((payload) => ({ ...hostile.conversation(payload.id, [payload]), messages: undefined })), next_cursor: null } }));
  await page.goto(`${origin}/documents`);
  await page.getByRole("article").nth(payloads.length - 1).waitFor();
  await endures("collections, failures and warnings", payloads.length);
  await page.goto(origin);
  await page.getByLabel("Search in").waitFor();
  await endures("the question box", payloads.length);
  await page.unrouteAll();
  let detail;
  await page.route("**/api/v1/documents?*", (route) => route.fulfill({ status: 500, contentType: "application/problem+json", json: hostile.problem(detail) }));
  for (const batch of chunks(payloads, 250)) {
    detail = batch.map(({ text }) => text).join(" ");
    await page.goto(`${origin}/documents`);
    await page.waitForFunction((start) => document.body.textContent.includes(start), detail.trim().slice(0, 40));
    await endures("a problem", batch.length);
  }
  await page.unrouteAll();
});

test("addresses that say them back", async () => {
  for (const { text } of payloads.slice(0, 135)) {
    for (const where of ["/api/v1/collections/", "/v1/", "/", "/c/", "/assets/"]) {
      const response = await fetch(origin + where + encodeURIComponent(text), { headers: { authorization: `Bearer ${settings.apiKey}` } });
      const body = await response.text();
      const type = response.headers.get("content-type") ?? "";
      assert.equal(response.headers.get("x-content-type-options"), "nosniff", where);
      if (type.startsWith("text/html")) assert.ok(!body.includes("pwn") && !body.includes("evil"), where);
      else assert.match(type, /^application\/(problem\+)?json/, where);
    }
  }
});

test("originals are saved and not shown, and would be harmless if they were shown", async () => {
  const script = "pwn(9000001)";
  const kinds = [
    ["page.html", "text/html", `<!doctype html><script>${script}</script><img src="http://x9000001.evil.test/">`],
    ["page.xhtml", "application/xhtml+xml", `<html xmlns="http://www.w3.org/1999/xhtml"><body><p>x</p><script>${script}</script></body></html>`],
    ["picture.svg", "image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"><text>x</text><script>${script}</script></svg>`],
    ["feed.xml", "text/xml", `<a xmlns:h="http://www.w3.org/1999/xhtml">x<h:script>${script}</h:script></a>`],
    ["note.txt", "text/plain", `<!doctype html><script>${script}</script>`],
    ["lie.md", "text/html; charset=utf-8", `<!doctype html><script>${script}</script>`],
  ];
  let controls = 0;
  for (const [name, type, content] of kinds) {
    const put = await send("PUT", `/api/v1/collections/${COLLECTION}/documents/${name}`, content, { "content-type": type });
    assert.ok(put.ok, `${name}: ${put.status}`);
    const { document } = await put.json();
    const address = `${origin}/api/v1/documents/${document.id}/content`;
    const { headers } = await send("GET", `/api/v1/documents/${document.id}/content`);
    assert.match(headers.get("content-disposition"), /^attachment; /, name);
    assert.match(headers.get("content-security-policy"), /^sandbox; default-src 'none'/, name);
    assert.equal(headers.get("x-content-type-options"), "nosniff", name);
    const authorized = (route) => ({ ...route.request().headers(), authorization: `Bearer ${settings.apiKey}` });
    const load = async (without) => {
      await page.route(address, async (route) => {
        const response = await route.fetch({ headers: authorized(route) });
        const kept = Object.entries(response.headers()).filter(([header]) => !without.includes(header));
        await route.fulfill({ response, headers: Object.fromEntries(kept) });
      });
      await page.goto(address, { timeout: 5000 }).catch((error) => assert.match(String(error), /Download is starting|ERR_ABORTED/));
      await page.waitForTimeout(100);
      await page.unrouteAll();
    };
    await page.goto("about:blank");
    await load([]);
    assert.equal(page.url(), "about:blank", `${name} is opened, not saved`);
    await load(["content-disposition"]);
    assert.ok(!seen.scripts.has("9000001"), `${name} ran its script`);
    if (name === "note.txt") continue;
    // And the control: without the policy it would.
    await load(["content-disposition", "content-security-policy"]);
    controls += seen.scripts.delete("9000001") ? 1 : 0;
    seen.requests.delete("9000001");
  }
  assert.ok(controls >= 3, `only ${controls} of the files would run a script at all`);
  seen.refusals.length = 0;
  browser.complaints.length = 0;
});

test("reports of evaluations, of the server and of the command", async () => {
  const queries = chunks(payloads, 5).map((batch) => ({
    id: batch[0].text.slice(0, 200), text: batch.map(({ text }) => text).join(" "), relevant: { [fileName(batch[0])]: 1 },
  }));
  const ids = [];
  for (const [i, candidates] of [20, 5].entries()) {
    const name = payloads[i].text;
    const { id } = await call("POST", "/api/v1/evaluations", { name, collection: COLLECTION, queries, retrieval: { candidates } });
    ids.push(id);
    while ((await call("GET", "/api/v1/evaluations")).items.some(({ state }) => state === "running")) await pause(200);
  }
  // The command is the operator's, and refuses to be one with a key.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !["KURA_API_KEY", "KURA_URL"].includes(name)));
  const command = (...args) =>
    promisify(execFile)(process.env.KURA_BIN, ["--data-dir", process.env.KURA_DATA_DIR, "eval", ...args], { env });
  const files = { report: path.join(folder, "report.html"), comparison: path.join(folder, "comparison.html") };
  await command("report", ids[0], "--output", files.report);
  await command("compare", ids[0], ids[1], "--html", files.comparison);
  const served = await (await send("GET", `/api/v1/evaluations/${ids[0]}/report`)).text();
  const pages = [["served", served], ...(await Promise.all(Object.entries(files).map(async ([name, file]) => [name, await readFile(file, "utf8")])))];
  for (const [name, html] of pages) {
    const bare = path.join(folder, `bare-${name}.html`);
    // Without its policy: what is escaped needs none.
    await writeFile(bare, html.replace(/<meta http-equiv[^>]*>/, ""));
    for (const file of [bare, files[name]].filter(Boolean)) {
      await page.goto(pathToFileURL(file).href);
      const text = await page.evaluate(() => document.body.textContent);
      assert.ok(text.includes("evil.test") || text.includes("pwn("), `${name} has none of them`);
      await touchEverything(page);
      const styles = await page.evaluate(() => document.querySelectorAll("style").length);
      assert.equal(styles, 1, name);
      assert.deepEqual((await findLive(page)).filter((found) => !found.startsWith("<meta>")), [], name);
      shown += payloads.length;
    }
  }
});

test("the page has a strict policy and keeps to it", async () => {
  const response = await fetch(`${origin}/`);
  const policy = Object.fromEntries(
    response.headers.get("content-security-policy").split(";").map((part) => part.trim().split(/\s+/)).map(([name, ...values]) => [name, values]),
  );
  const sources = Object.values(policy).flat();
  for (const loose of ["'unsafe-inline'", "'unsafe-eval'", "'unsafe-hashes'", "*", "http:", "https:"]) {
    assert.ok(!sources.includes(loose), `${loose} in the policy`);
  }
  assert.ok(sources.every((source) => ["'self'", "'none'", "data:", "blob:"].includes(source)), sources.join(" "));
  const scripts = policy["script-src"] ?? policy["default-src"];
  assert.deepEqual(scripts, ["'self'"]);
  assert.deepEqual(policy["object-src"], ["'none'"]);
  assert.deepEqual(policy["base-uri"], ["'none'"]);
  assert.deepEqual(policy["frame-ancestors"], ["'none'"]);
  assert.equal(response.headers.get("x-dns-prefetch-control"), "off");
  const html = await response.text();
  assert.ok(!/<script(?![^>]*\ssrc=)/.test(html) && !/\son\w+=/.test(html) && !/<style/.test(html), "nothing is inline");
  // The policy would stop what comes to life by a mistake: that is seen, too.
  await page.goto(origin);
  const before = seen.refusals.length;
  await page.evaluate(() => document.body.insertAdjacentHTML("beforeend", "<img src=x: onerror=pwn(9000002)><img src=http://x9000002.evil.test>"));
  for (let i = 0; i < 50 && seen.refusals.length < before + 2; i++) await pause(50);
  assert.ok(seen.refusals.length >= before + 2, "the browser did not say what it refused");
  assert.ok(!seen.scripts.has("9000002"), "the policy let a script run");
  seen.requests.delete("9000002");
  seen.elsewhere = seen.elsewhere.filter((address) => address !== "x:");
  seen.refusals.length = before;
  browser.complaints.length = 0;
});

test("no script ran, nothing was asked elsewhere, and the policy had nothing to stop", async () => {
  await browser.close();
  const hosts = await hostsOf(path.join(folder, "net.json"));
  for (const host of hosts) {
    // Chromium asks its maker for news whatever is on a page.
    if (host === new URL(origin).hostname || /\.(google|googleapis|gvt1)\.com$/.test(host)) hosts.delete(host);
  }
  // What the test itself put into a page, to be refused or as a control.
  for (const id of ["9000001", "9000002"]) hosts.delete(`x${id}.evil.test`);
  console.log(`${payloads.length} payloads, ${shown} times on a page: ${seen.scripts.size} scripts, ${seen.requests.size} requests, `
    + `${hosts.size} foreign hosts, ${seen.refusals.length} refusals of the policy, ${seen.dialogs.length} dialogs`);
  assert.deepEqual([...seen.scripts], []);
  const reports = pathToFileURL(folder).href;
  assert.deepEqual([...seen.requests, ...seen.elsewhere.filter((address) => !address.startsWith(reports))], []);
  assert.deepEqual([...hosts], []);
  assert.deepEqual(seen.dialogs, []);
  assert.deepEqual(seen.refusals, []);
  assert.ok(shown >= 8 * payloads.length, `only ${shown} times shown`);
});

/** Does all that a person may do to what is shown, and fails when something of it is more than text. */
async function endures(where, n, options) {
  const address = page.url();
  await touchEverything(page);
  assert.deepEqual(await findLive(page, options), [], where);
  assert.equal(page.url(), address, `${where} led elsewhere`);
  shown += n;
}

/** A page that says the payload as its title and in its text, with all of its characters escaped. */
function asDocument({ id, text }) {
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return `<!doctype html><meta charset="utf-8"><title>${escaped}</title><h1>${escaped}</h1>`
    + `<p>This is the description of attack number ${id}: ${escaped}</p>`;
}

/** As long as a title may be. */
function title({ text }) {
  return text.slice(0, 200);
}

function fileName({ id, text }) {
  return `${text.replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, " ").slice(0, 300)}${id}.html`;
}

/** Text without what is not seen, in the form that kura gives to wide letters: some of its brackets begin as others. */
function squeeze(text) {
  return text.normalize("NFKC").replaceAll(/[\s\u0000-\u001f\u200b-\u200f\u2028-\u202e\ufeff]+/gu, "");
}

function chunks(items, size) {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}

function send(method, address, body, headers = {}) {
  const json = body !== undefined && typeof body !== "string" && !(body instanceof FormData);
  return fetch(origin + address, {
    method,
    headers: { authorization: `Bearer ${settings.apiKey}`, ...(json ? { "content-type": "application/json" } : {}), ...headers },
    body: json ? JSON.stringify(body) : body,
  });
}

async function call(method, address, body) {
  const response = await send(method, address, body);
  if (!response.ok) throw new Error(`${method} ${address}: ${response.status} ${await response.text()}`);
  return response.json();
}

async function jobsAreDone() {
  for (;;) {
    const { queued, running } = await call("GET", "/api/v1/jobs/summary");
    if (queued + running === 0) return;
    await pause(200);
  }
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
