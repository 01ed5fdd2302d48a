/** What the browser tests stand on: the browser, its checks, and what a PDF says. */
import assert from "node:assert/strict";
import { mkdtemp, mkdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);

export const settings = {
  url: required("KURA_URL"),
  apiKey: required("KURA_API_KEY"),
  pdf: required("KURA_FIXTURE_PDF"),
  question:
    process.env.KURA_FIXTURE_QUESTION ?? "How often do torque screwdrivers have to be calibrated?",
  screenshots: process.env.KURA_SCREENSHOTS ?? path.join(import.meta.dirname, "test-results"),
  /** A small model on two cores may write for minutes. */
  answerTimeout: Number(process.env.KURA_ANSWER_TIMEOUT_MS ?? 300_000),
  indexTimeout: Number(process.env.KURA_INDEX_TIMEOUT_MS ?? 180_000),
};

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/**
 * Opens a page in a browser of its own, with a new profile.
 * `complaints` collects what must not happen: script errors, refused content, requests elsewhere. `flags` are Chromium's;
 * `provoked` are the refusals that the test asks for, which the browser reports too.
 */
export async function openBrowser({ flags = [], provoked = [401] } = {}) {
  const profile = await mkdtemp(path.join(tmpdir(), "kura-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [...FLAGS, ...flags],
    locale: "en-US",
    colorScheme: "light",
    viewport: { width: 1440, height: 900 },
    acceptDownloads: true,
  });
  const page = context.pages()[0] ?? (await context.newPage());
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`script error: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    const isProvoked = provoked.some((status) => text.includes(`status of ${status}`));
    if (message.type() === "error" && !isProvoked) complaints.push(`console: ${text} (${message.location().url})`);
  });
  page.on("request", (request) => {
    const { origin, protocol } = new URL(request.url());
    if (origin !== new URL(settings.url).origin && protocol !== "blob:") {
      complaints.push(`request to another server: ${request.url()}`);
    }
  });
  const close = async () => {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  };
  return { context, page, complaints, close };
}

/** Returns what runs tests that build on each other: after one has failed, the others would only repeat its failure. */
export function makeSteps(pageOf) {
  let failed = false;
  return (name, run) =>
    test(name, async (t) => {
      if (failed) return t.skip("an earlier step failed");
      try {
        await run();
      } catch (error) {
        failed = true;
        await screenshot(pageOf(), "failure").catch(() => undefined);
        throw error;
      }
    });
}

/** Fails when axe finds a serious or critical fault in what the page shows now. */
export async function checkAccessibility(page, where) {
  // Evaluated, not added as a script: the page's own policy forbids that, rightly.
  await page.evaluate(await readFile(require.resolve("axe-core/axe.min.js"), "utf8"));
  // Colors on their way from one to another would be measured half-way.
  await page.evaluate(() =>
    Promise.all(
      document
        .getAnimations()
        .filter(({ effect }) => effect?.getTiming().iterations !== Number.POSITIVE_INFINITY)
        .map(({ finished }) => finished.catch(() => undefined)),
    ),
  );
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  const serious = violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ html }) => html).join("\n  ")}`);
  assert.deepEqual(serious, [], `accessibility of ${where}`);
}

export async function screenshot(page, name) {
  await mkdir(settings.screenshots, { recursive: true });
  await page.screenshot({ path: path.join(settings.screenshots, `${name}.png`) });
}

/** The text of a PDF, read by a library that kura does not use, without white space. */
export async function textOfPdf(file) {
  const { getDocument } = await import("pdfjs-dist/legacy/build/pdf.mjs");
  const root = path.dirname(require.resolve("pdfjs-dist/package.json"));
  const data = new Uint8Array(await readFile(file));
  const pdf = await getDocument({
    data,
    cMapUrl: `${path.join(root, "cmaps")}/`,
    cMapPacked: true,
    standardFontDataUrl: `${path.join(root, "standard_fonts")}/`,
    verbosity: 0,
  }).promise;
  let text = "";
  for (let n = 1; n <= pdf.numPages; n++) {
    const content = await (await pdf.getPage(n)).getTextContent();
    text += content.items.map((item) => item.str ?? "").join("");
  }
  return squeeze(text);
}

/** Text as two extractors can agree on it: one form per character, no white space, no soft hyphens. */
export function squeeze(text) {
  return text.normalize("NFKC").replaceAll(/[\s\u00ad]+/gu, "");
}

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`set ${name}: the browser tests need it`);
  return value;
}
