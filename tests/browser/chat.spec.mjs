/**
 * The main path of a person, in a real browser against a running `kura serve`:
 * enter the key, upload a PDF, ask about it, open the citation, see the quote, delete the document.
 *
 * KURA_URL, KURA_API_KEY, KURA_FIXTURE_PDF are required; KURA_FIXTURE_QUESTION is asked about the PDF.
 * CHROMIUM names the browser, KURA_SCREENSHOTS the folder for the pictures.
 */
import assert from "node:assert/strict";
import path from "node:path";
import { after, before } from "node:test";
import {
  checkAccessibility,
  makeSteps,
  openBrowser,
  screenshot,
  settings,
  squeeze,
  textOfPdf,
} from "./support.mjs";

const collection = `browser-${Date.now()}`;
const fileName = path.basename(settings.pdf);
let browser;
let page;

before(async () => {
  browser = await openBrowser();
  page = browser.page;
});

after(async () => {
  await browser?.close();
});

const step = makeSteps(() => page);

step("the page asks for the key, and refuses a wrong one", async () => {
  await page.goto(settings.url);
  await page.getByLabel("Password", { exact: true }).waitFor();
  await checkAccessibility(page, "the sign-in");
  await page.getByRole("button", { name: "Use an API key instead" }).click();
  const field = page.getByLabel("API key", { exact: true });
  await field.fill("kura_wrong");
  await field.press("Enter");
  await page.getByText("This key was not accepted").waitFor();
  await checkAccessibility(page, "the key gate");
  await screenshot(page, "gate-en-light");
  await field.fill(settings.apiKey);
  await field.press("Enter");
  await page.getByRole("textbox", { name: "Question" }).waitFor();
});

step("a PDF is uploaded to a new collection, and its progress ends in the list", async () => {
  await page.getByRole("link", { name: "Documents", exact: true }).click();
  await page.getByRole("heading", { level: 1, name: "Documents" }).waitFor();
  await page.getByLabel("Add to").selectOption({ label: "New collection…" });
  await page.getByLabel("Name of the new collection").fill(collection);
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("button", { name: `${collection} 0` }).waitFor();
  await page.locator("input[type=file]").setInputFiles(settings.pdf);
  const uploads = page.getByRole("region", { name: "Being added" });
  await uploads.getByText(fileName).waitFor();
  await uploads
    .getByText(/Ready to be asked|Failed/)
    .waitFor({ timeout: settings.indexTimeout });
  assert.equal(await uploads.getByText("Failed").count(), 0, await uploads.innerText());
  await page.getByRole("button", { name: `${collection} 1` }).click();
  const stored = page.getByRole("region", { name: "Stored documents" });
  await stored.getByText("Indexed", { exact: true }).waitFor();
  assert.equal(await stored.getByRole("article").count(), 1);
  await checkAccessibility(page, "the documents");
  await screenshot(page, "documents-en-light");
});

step("a question about it is answered with a citation", async () => {
  await page.getByRole("link", { name: "New question" }).click();
  await ask(settings.question);
  await page
    .getByRole("region", { name: "Sources" })
    .waitFor({ timeout: settings.answerTimeout });
  await page.getByRole("heading", { level: 2, name: settings.question }).waitFor();
  await checkAccessibility(page, "the answer");
  await screenshot(page, "answer-en-light");
});

step("the answer can be rated, with a form to say more", async () => {
  const feedback = page.getByRole("region", { name: "Feedback on this answer" });
  await feedback.getByRole("button", { name: "Good answer" }).click();
  await feedback.getByRole("button", { name: "Good answer", pressed: true }).waitFor();
  await feedback.getByRole("button", { name: "Add details" }).click();
  await feedback.getByLabel("Comment").fill("Just what I wanted to know.");
  const option = feedback.locator(`option[value$="${collection}/${fileName}"]`);
  await option.waitFor({ state: "attached" });
  await feedback.getByLabel("Which document says it?").fill(await option.getAttribute("value"));
  await checkAccessibility(page, "the feedback form");
  await screenshot(page, "feedback-en-light");
  await feedback.getByRole("button", { name: "Save" }).click();
  await feedback.getByLabel("Comment").waitFor({ state: "detached" });
  await feedback.getByRole("button", { name: "Edit details" }).waitFor();
});

step("the citation opens the document at a highlighted quote, which the PDF says", async () => {
  await page.getByRole("button", { name: /^Source 1: / }).first().click();
  const mark = page.getByRole("complementary").locator("mark");
  await mark.waitFor();
  const quote = squeeze(await mark.innerText());
  assert.ok(quote.length >= 8, `the quote is too short to tell anything: ${quote}`);
  const text = await textOfPdf(settings.pdf);
  assert.ok(text.includes(quote), `not in the PDF: ${quote}`);
  await page.waitForFunction(() => {
    const { top, bottom } = document.querySelector("mark").getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download the original" }).click();
  assert.equal((await download).suggestedFilename(), fileName);
  await checkAccessibility(page, "the passage");
});

step("it looks right in light and dark, in English and Japanese, and on a phone", async () => {
  const looks = [
    ["en-light", "Light"],
    ["en-dark", "Dark"],
    ["ja-dark", "ダーク"],
    ["ja-light", "ライト"],
  ];
  for (const [look, theme] of looks) {
    if (look === "ja-dark") await page.getByRole("button", { name: "日本語" }).click();
    await page.getByRole("button", { name: theme, exact: true }).click();
    await checkAccessibility(page, `the passage, ${look}`);
    await screenshot(page, `passage-${look}`);
  }
  await page.keyboard.press("Escape");
  await page.setViewportSize({ width: 390, height: 844 });
  await checkAccessibility(page, "the answer on a phone");
  await screenshot(page, "phone-ja-light");
  await page.getByRole("button", { name: "メニュー", exact: true }).click();
  await page.waitForFunction(() => document.activeElement?.closest("#wall"));
  await checkAccessibility(page, "the menu on a phone");
  await screenshot(page, "phone-menu-ja-light");
  await page.getByRole("button", { name: "English" }).click();
  await page.keyboard.press("Escape");
  await page.setViewportSize({ width: 1440, height: 900 });
});

step("a reload keeps the key and the conversation", async () => {
  await page.reload();
  await page.getByRole("heading", { level: 2, name: settings.question }).waitFor();
  await page.getByRole("region", { name: "Sources" }).waitFor();
  await page.getByRole("button", { name: "Good answer", pressed: true }).waitFor();
  await page.getByRole("button", { name: "Edit details" }).waitFor();
});

step("a deleted document is no longer answered from", async () => {
  await page.getByRole("link", { name: "Documents", exact: true }).click();
  await page.getByRole("button", { name: `${collection} 1` }).click();
  const stored = page.getByRole("region", { name: "Stored documents" });
  await stored.getByRole("article").getByRole("button", { name: /^Delete / }).click();
  const dialog = page.getByRole("dialog");
  await checkAccessibility(page, "the question before deleting");
  await dialog.getByRole("button", { name: "Delete" }).click();
  await page.getByText("This collection has no documents yet.").waitFor();
  await page.getByRole("link", { name: "New question" }).click();
  await ask(settings.question);
  await page
    .getByText("Not found in your documents")
    .waitFor({ timeout: settings.answerTimeout });
  assert.equal(await page.getByRole("region", { name: "Sources" }).count(), 0);
  await screenshot(page, "no-evidence-en-light");
});

step("the collection and the conversations can be removed", async () => {
  await page.getByRole("link", { name: "Documents", exact: true }).click();
  await page.getByRole("button", { name: `${collection} 0` }).click();
  await page.getByRole("button", { name: "Delete this collection" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: collection }).waitFor({ state: "detached" });
  const past = page.getByRole("navigation", { name: "Conversations" });
  const count = await past.getByRole("link").count();
  for (let left = count; left > count - 2; left--) {
    await past.getByRole("button", { name: /^Delete the conversation/ }).first().click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await past.getByRole("listitem").nth(left - 1).waitFor({ state: "detached" });
  }
});

step("nothing was wrong on the way, and nothing was fetched from elsewhere", () => {
  assert.deepEqual(browser.complaints, []);
});

/** Asks in the test's own collection, so that nothing else that is stored plays a part. */
async function ask(question) {
  await page.getByLabel("Search in").selectOption({ label: collection });
  const box = page.getByRole("textbox", { name: "Question" });
  await box.fill(question);
  await box.press("Enter");
}
