/**
 * The control of `output.spec.mjs`: the same texts in a page that takes them as they are, so that what watches there is
 * known to see what it has to.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { makePayloads, VECTORS } from "./payloads.mjs";
import { openBrowser } from "./support.mjs";
import { findLive, hostsOf, touchEverything, watch } from "./watch.mjs";

const ORIGIN = "http://control.test";
// Each vector as it is.
const payloads = makePayloads(VECTORS.length);
const PER_PAGE = 50;
// How long a page stays open, in ms: on a busy machine some texts need longer, and get it.
const PAUSES = [200, 2000, 5000];

test("a page that takes texts as they are trips everything that watches", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "kura-control-"));
  const log = path.join(folder, "net.json");
  const browser = await openBrowser({ flags: [`--log-net-log=${log}`] });
  const { context, page } = browser;
  const seen = await watch(context, [ORIGIN]);
  let live = 0;
  await context.route(`${ORIGIN}/**`, (route) => {
    const start = Number(new URL(route.request().url()).searchParams.get("start"));
    const frames = payloads.slice(start, start + PER_PAGE).map(asFrame).join("\n");
    const inner = payloads.slice(start, start + PER_PAGE).map(({ text }) => `<div data-raw="${escape(text)}"></div>`);
    return route.fulfill({ contentType: "text/html; charset=utf-8", body: `<!doctype html><script>alert(1)</script>${frames}${inner.join("")}` });
  });
  const hasFired = ({ plain, fires, id }) =>
    !plain || (fires === "script" ? seen.scripts : fires === "request" ? seen.requests : new Set([String(id)])).has(String(id));
  for (const pause of PAUSES) {
    for (let start = 0; start < payloads.length; start += PER_PAGE) {
      if (pause > PAUSES[0] && payloads.slice(start, start + PER_PAGE).every(hasFired)) continue;
      await page.goto(`${ORIGIN}/?start=${start}`).catch(() => undefined);
      for (const frame of page.frames()) await touchEverything(frame).catch(() => undefined);
      const parse = page.evaluate(() => {
        for (const element of document.querySelectorAll("[data-raw]")) {
          element.innerHTML = element.dataset.raw;
          // Read, written and read again, as sanitizers do: some markup is another the second time.
          const again = document.createElement("div");
          element.after(again);
          again.innerHTML = element.innerHTML;
        }
      });
      await parse.catch(() => undefined);
      // Some texts take the whole page elsewhere.
      const found = await findLive(page).catch(() => ["gone"]);
      if (pause === PAUSES[0]) live += found.length;
      await page.waitForTimeout(pause);
    }
  }
  await page.waitForTimeout(1000);
  await browser.close();
  const hosts = await hostsOf(log);
  await rm(folder, { recursive: true });

  const silent = payloads.filter(({ plain, fires, id }) => {
    const did = {
      script: seen.scripts.has(String(id)),
      request: seen.requests.has(String(id)),
      lookup: hosts.has(`x${id}.evil.test`),
    };
    return plain && fires !== null && !did[fires];
  });
  const { scripts, requests, dialogs } = seen;
  console.log(`control: of ${payloads.length} texts ${scripts.size} ran a script and ${requests.size} fetched something;`
    + ` ${live} live places, ${hosts.size} hosts, ${dialogs.length} dialogs`);
  assert.deepEqual(silent.map(({ vector, fires }) => `${vector}: no ${fires}`), []);
  assert.ok(scripts.size >= payloads.length / 4, `${scripts.size} scripts`);
  assert.ok(requests.size >= payloads.length / 5, `${requests.size} requests`);
  assert.ok(live >= payloads.length / 2, `${live} live places`);
  assert.ok(dialogs.length > 0, "no dialog");
});

/** A frame of its own, so that what one text leaves open does not swallow the next. */
function asFrame({ text, syntax }) {
  const page = syntax === "html" ? text : naiveMarkdown(text);
  return `<iframe srcdoc="${escape(page)}"></iframe>`;
}

/** As much of Markdown as it takes to be careless. */
function naiveMarkdown(text) {
  return text
    .replace(/!\[([^\]]*)\]\(<?([^\s>)]*)>?[^)]*\)/g, '<img alt="$1" src="$2">')
    .replace(/\[([^\]]*)\]\(<?([^>)]*)>?\)/g, '<a href="$2">$1</a>');
}

function escape(text) {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;");
}
