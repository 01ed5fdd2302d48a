/**
 * Who may do what, in a real browser against a running `kura serve`: an administrator adds people and groups, someone says
 * whom a collection is for, and a person changes the password, makes keys and ends sessions. What the pages say is asked of
 * the API, too: passwords, keys and sessions count there, and no longer when they have ended.
 */
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { checkAccessibility, makeSteps, openBrowser, screenshot, settings } from "./support.mjs";

const stamp = Date.now().toString(36);
const boss = { name: `hana-${stamp}`, shown: "Hana Mori", password: "" };
const reader = { name: `ken-${stamp}`, shown: "Ken Sato", password: "" };
const NEXT_PASSWORD = "a sentence that Ken remembers";
const group = `field-sales-${stamp}`;
const opened = `sales-${stamp}`;
const closed = `board-${stamp}`;
const inspected = new Set();
let browser;
let page;

before(async () => {
  browser = await openBrowser({ provoked: [401, 403, 409] });
  page = browser.page;
  await browser.context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: settings.url });
  for (const name of [opened, closed]) {
    const body = { name, members: name === closed ? [] : undefined };
    assert.equal((await call("POST", "/api/v1/collections", settings.apiKey, body)).status, 201);
  }
});

after(async () => {
  await browser?.close();
});

const step = makeSteps(() => page);

step("with the admin key an administrator is added, whose password is shown once", async () => {
  await page.goto(settings.url);
  await enterKey();
  await open("People");
  const empty = page.getByText("Nobody has been added yet");
  await empty.waitFor();
  // It is seen without scrolling, below a mark of ordinary size.
  const { y, height } = await empty.boundingBox();
  assert.ok(y + height < page.viewportSize().height, `the text ends ${y + height} px down`);
  await inspect("the empty list of people", "people-empty-en-light");
  await addPerson(boss, "Administrator");
  const row = page.getByRole("list", { name: "People" }).getByRole("listitem");
  assert.match(await row.innerText(), /Hana Mori.*never signed in.*Administrator/s);
});

step("the administrator makes a group, and adds a person to it", async () => {
  await signOut();
  await signIn(boss);
  await open("People");
  await turnTo("Groups");
  await page.getByText("No groups yet").waitFor();
  await page.getByRole("button", { name: "Add a group" }).click();
  await page.getByLabel("Name of the group").fill(group);
  await page.getByLabel("What it is for").fill("Sells outside of the office");
  await checkAccessibility(page, "the form for a group");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByText("Nobody belongs to it yet.").waitFor();
  await page.getByRole("link", { name: "Groups" }).click();
  await turnTo("People");
  await addPerson(reader, "Reader", group);
  await page.getByRole("link", { name: reader.shown }).click();
  await page.getByRole("region", { name: "Groups" }).getByRole("link", { name: group }).waitFor();
  await inspect("the page of a person", "person-en-light");
  await page.getByRole("region", { name: "Groups" }).getByRole("link", { name: group }).click();
  await page.getByRole("list", { name: "Members" }).getByText(reader.shown).waitFor();
  await inspect("the page of a group", "group-en-light");
});

step("a name that is taken is refused with the reason", async () => {
  await open("People");
  await page.getByRole("button", { name: "Add a person" }).click();
  await page.getByLabel("Name to sign in with").fill(reader.name.toUpperCase());
  await page.getByRole("button", { name: "Make one up" }).click();
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("alert").getByText(reader.name).waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
});

step("a program gets a service with a key of its own", async () => {
  await turnTo("Services");
  await page.getByRole("button", { name: "Add a service" }).click();
  await page.getByLabel("Name to sign in with").fill(`crm-${stamp}`);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  const key = await makeKey("nightly import");
  const { status, json } = await call("GET", "/api/v1/session", key);
  assert.deepEqual([status, json.kind, json.name, json.role], [200, "service", `crm-${stamp}`, "reader"]);
  await screenshot(page, "service-en-light");
});

step("the collection is closed to all but the group", async () => {
  await open("Documents");
  await page.getByRole("button", { name: `${opened} 0` }).click();
  assert.equal(await page.getByRole("link", { name: /^Who may read/ }).count(), 0, "an administrator edits no collection");
  await signOut();
  await enterKey();
  await open("Documents");
  await page.getByRole("button", { name: `${opened} 0` }).click();
  await page.getByRole("link", { name: `Who may read ${opened}` }).click();
  const members = page.getByRole("list", { name: "Members" });
  await members.getByText("Everyone who signs in").waitFor();
  await page.getByLabel("Name of the group").fill(group);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await members.getByText(group).waitFor();
  await members.getByRole("button", { name: "Take out Everyone who signs in" }).click();
  await checkAccessibility(page, "the question before taking out");
  await page.getByRole("dialog").getByRole("button", { name: "Take out" }).click();
  await members.getByText("Everyone who signs in").waitFor({ state: "detached" });
  await inspect("the members of a collection", "members-en-light");
  const { json } = await call("GET", `/api/v1/collections/${opened}/members`, settings.apiKey);
  assert.deepEqual(json, [{ group, role: "reader" }]);
});

step("the person reads it, and is offered nothing of what administrators do", async () => {
  await signOut();
  await signIn(reader);
  await open("Documents");
  await page.getByRole("button", { name: `${opened} 0` }).waitFor();
  assert.equal(await page.getByRole("button", { name: `${closed} 0` }).count(), 0);
  assert.equal(await page.getByRole("link", { name: "People", exact: true }).count(), 0);
  for (const address of ["/people", "/people/services", "/people/groups", `/people/users/${boss.name}`]) {
    await page.goto(settings.url + address);
    await page.getByRole("alert").getByText(/`reader`/).waitFor();
    assert.equal(await page.getByRole("button", { name: /^Add / }).count(), 0, address);
    assert.equal(await page.getByText(boss.shown).count(), 0, address);
  }
  await page.goto(`${settings.url}/documents/${opened}/members`);
  await page.getByRole("alert").waitFor();
  await inspect("a refusal", "refused-en-light");
});

step("the person changes the password: the old one is refused, the new one lets in", async () => {
  await page.getByRole("link", { name: /^Signed in as/ }).click();
  await page.getByLabel("Present password").fill("not my password");
  await page.getByLabel("New password", { exact: true }).fill(NEXT_PASSWORD);
  await page.getByLabel("New password again").fill(NEXT_PASSWORD);
  await page.getByRole("button", { name: "Change the password" }).click();
  await page.getByRole("alert").getByText("the present password is another one").waitFor();
  await page.getByLabel("Present password").fill(reader.password);
  await page.getByRole("button", { name: "Change the password" }).click();
  await page.getByText("The password was changed.").waitFor();
  assert.equal((await signInByApi(reader.name, reader.password)).status, 401);
  reader.password = NEXT_PASSWORD;
  await signOut();
  await signIn(reader);
});

step("another browser is signed out from here", async () => {
  const other = await signInByApi(reader.name, reader.password);
  assert.equal(other.status, 200);
  const cookie = other.headers.getSetCookie()[0].split(";")[0];
  const seen = () => fetch(`${settings.url}/api/v1/session`, { headers: { cookie } });
  assert.equal((await seen()).status, 200);
  await open("Documents");
  await page.getByRole("link", { name: /^Signed in as/ }).click();
  const sessions = page.getByRole("list", { name: "Sessions" });
  await sessions.getByText("This browser").waitFor();
  await sessions.getByRole("listitem").nth(1).waitFor();
  await page.getByRole("button", { name: "Sign out everywhere else" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Sign out" }).click();
  await sessions.getByRole("listitem").nth(1).waitFor({ state: "detached" });
  assert.equal((await seen()).status, 401);
});

step("a key does what its owner may, until it is replaced or revoked", async () => {
  const first = await makeKey("weekly report");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), first);
  const { status, json } = await call("GET", "/api/v1/collections", first);
  assert.equal(status, 200);
  assert.deepEqual(json.items.map(({ name }) => name), [opened]);
  assert.equal((await call("GET", "/api/v1/users", first)).status, 403);
  await page.getByRole("button", { name: "I have kept it" }).click();
  assert.equal(await page.getByText(first).count(), 0, "the key is shown once");
  await checkAccessibility(page, "one's account");

  await page.getByRole("button", { name: "Replace the key “weekly report”" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Replace" }).click();
  const second = await shownKey();
  assert.equal((await call("GET", "/api/v1/collections", first)).status, 401);
  assert.equal((await call("GET", "/api/v1/collections", second)).status, 200);

  await page.getByRole("button", { name: "Revoke the key “weekly report”" }).click();
  await checkAccessibility(page, "the question before revoking");
  await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
  await page.getByText("1 key that has ended").waitFor();
  assert.equal((await call("GET", "/api/v1/collections", second)).status, 401);
});

step("the authenticator app is offered with a code to scan", async () => {
  await page.getByRole("button", { name: "Set up an authenticator app" }).click();
  await page.getByRole("region", { name: "Second factor" }).getByLabel("Present password").fill(reader.password);
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByRole("img", { name: /QR code/ }).waitFor();
  await inspect("the second factor", "second-factor-en-light");
  await page.getByRole("region", { name: "Second factor" }).getByRole("button", { name: "Cancel" }).click();
});

step("it looks right in light and dark, in English and Japanese, and on a phone", async () => {
  await looks("account", "Light");
  await page.getByRole("button", { name: "日本語" }).click();
  await looks("account-ja", "ダーク");
  await page.setViewportSize({ width: 390, height: 844 });
  await looks("account-phone-ja", null);
  await page.setViewportSize({ width: 1440, height: 900 });
  await page.getByRole("button", { name: "English" }).click();
  await page.getByRole("button", { name: "Light", exact: true }).click();
});

step("who is deactivated is out at once", async () => {
  await signOut();
  await signIn(boss);
  const mine = await signInByApi(reader.name, reader.password);
  const cookie = mine.headers.getSetCookie()[0].split(";")[0];
  await open("People");
  await page.getByRole("searchbox", { name: "Search people" }).fill("sato");
  await page.getByRole("link", { name: reader.shown }).click();
  await page.getByRole("button", { name: "Deactivate" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Deactivate" }).click();
  await page.getByRole("button", { name: "Activate", exact: true }).waitFor();
  assert.equal((await fetch(`${settings.url}/api/v1/session`, { headers: { cookie } })).status, 401);
  assert.equal((await signInByApi(reader.name, reader.password)).status, 401);
  await screenshot(page, "deactivated-en-light");
});

step("nothing was wrong on the way, and nothing was fetched from elsewhere", () => {
  assert.deepEqual(browser.complaints, []);
});

/** Goes to a page by the main menu. */
async function open(name) {
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name, exact: true }).click();
}

/** Turns between people, services and groups. */
async function turnTo(name) {
  await page.getByRole("navigation", { name: "People and groups" }).getByRole("link", { name }).click();
}

async function enterKey() {
  await page.getByRole("button", { name: "Use an API key instead" }).click();
  await page.getByLabel("API key", { exact: true }).fill(settings.apiKey);
  await page.getByRole("button", { name: "Open", exact: true }).click();
  await page.getByRole("link", { name: /^Signed in as/ }).waitFor();
}

async function signIn({ name, password }) {
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel("Password", { exact: true }).fill(password);
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("link", { name: /^Signed in as/ }).waitFor();
}

async function signOut() {
  await page.getByRole("button", { name: /^(Sign out|Forget the key)$/ }).click();
  await page.getByLabel("Password", { exact: true }).waitFor();
}

/** Adds a person with a password that the page makes up, and keeps it. */
async function addPerson(person, role, member) {
  await page.getByRole("button", { name: "Add a person" }).click();
  const form = page.getByRole("form", { name: "Add a person" });
  await form.getByLabel("Name to sign in with").fill(person.name);
  await form.getByLabel("Name to show").fill(person.shown);
  await form.getByLabel("Role").selectOption({ label: role });
  await form.getByRole("button", { name: "Make one up" }).click();
  person.password = await form.getByLabel("Password", { exact: true }).inputValue();
  if (member) await form.getByLabel(member).check();
  await inspect("the form for a person", "new-person-en-light");
  await form.getByRole("button", { name: "Add", exact: true }).click();
  const shown = page.getByRole("region", { name: `${person.name} was added` });
  await shown.getByText(person.password).waitFor();
  await inspect("the password to hand over", "hand-over-en-light");
  await shown.getByRole("button", { name: "I have kept it" }).click();
  await page.getByRole("link", { name: person.shown }).waitFor();
  assert.equal(await page.getByText(person.password).count(), 0, "the password is shown once");
}

/** Makes a key on the page that is open, copies it, and returns it. */
async function makeKey(name) {
  await page.getByRole("button", { name: "New key" }).click();
  const form = page.getByRole("form", { name: "New key" });
  await form.getByLabel("What it is for").fill(name);
  await inspect("the form for a key", "new-key-en-light");
  await form.getByRole("button", { name: "Make the key" }).click();
  const key = await shownKey();
  await page.getByRole("button", { name: "Copy the key" }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  await inspect("a key that is shown", "made-key-en-light");
  return key;
}

async function shownKey() {
  const key = await page.getByRole("region", { name: /^The key/ }).locator("code").innerText();
  assert.match(key, /^kura_[A-Za-z0-9_-]{43}$/);
  return key;
}

/** A check and a picture of the page as it is; of the same thing once. */
async function inspect(what, picture) {
  if (inspected.has(what)) return;
  inspected.add(what);
  await checkAccessibility(page, what);
  await screenshot(page, picture);
}

/** A picture and a check of the page as it is, in a theme. */
async function looks(name, theme) {
  if (theme) await page.getByRole("button", { name: theme, exact: true }).click();
  await page.getByRole("heading", { level: 1 }).scrollIntoViewIfNeeded();
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${name} is ${overflow} px wider than the window`);
  await inspect(name, name);
}

async function signInByApi(name, password) {
  return fetch(`${settings.url}/api/v1/session`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name, password }),
  });
}

async function call(method, address, key, body) {
  const reply = await fetch(settings.url + address, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body ? { "content-type": "application/json" } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  return { status: reply.status, json: await reply.json().catch(() => null) };
}
