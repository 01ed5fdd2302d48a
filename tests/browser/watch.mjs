/** What notices that a text did more than be shown: scripts, requests, look-ups of names, and markup that came to life. */
import { readFile } from "node:fs/promises";
import { EVIL } from "./payloads.mjs";

/** Watches every page and frame of a context, from their first script on. `own` are the origins that may be asked. */
export async function watch(context, own) {
  const seen = { scripts: new Set(), requests: new Set(), dialogs: [], refusals: [], elsewhere: [] };
  const idOf = (text) => /\d+/.exec(String(text))?.[0] ?? String(text);
  await context.exposeBinding("pwn", (_, value) => void seen.scripts.add(idOf(value)));
  await context.exposeBinding("__refused", (_, what) => void seen.refusals.push(what));
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      globalThis.__refused(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
    });
  });
  const origins = new Set(own);
  context.on("request", (request) => {
    const url = new URL(request.url());
    if (["data:", "blob:", "about:"].includes(url.protocol) || origins.has(url.origin)) return;
    const id = new RegExp(`^x(\\d+)\\.${EVIL}$`).exec(url.hostname)?.[1];
    if (id) seen.requests.add(id);
    else seen.elsewhere.push(request.url());
  });
  context.on("dialog", (dialog) => {
    seen.dialogs.push(dialog.message());
    dialog.dismiss().catch(() => undefined);
  });
  return seen;
}

/** Does with everything on the page what a person may do, links and buttons excepted: these are meant to be pressed. */
export function touchEverything(page) {
  return page.evaluate(() => {
    const types = [
      "mouseover", "mouseenter", "mousemove", "mousedown", "pointerover", "pointerenter", "click", "focus", "focusin",
      "copy", "wheel", "toggle", "load", "error", "animationstart", "transitionend", "begin", "start",
    ];
    const pressed = "a, button, summary, select, option, input, label, textarea";
    const touch = (root) => {
      for (const element of root.querySelectorAll("*")) {
        if (element.shadowRoot) touch(element.shadowRoot);
        for (const type of types) {
          if (type === "click" && element.closest?.(pressed)) continue;
          element.dispatchEvent(new Event(type, { bubbles: type === "click" }));
        }
      }
    };
    touch(document);
  });
}

/**
 * Returns what on the page could act: elements and attributes that a text must never become.
 * `links` says whether addresses of other servers may be linked, to be opened by a person's click only.
 */
export function findLive(page, { links = false } = {}) {
  return page.evaluate((links) => {
    const found = [];
    const own = (address) => new URL(address, document.baseURI).origin === location.origin;
    const never = "iframe, frame, frameset, object, embed, applet, base, portal, fencedframe, math, template, video, audio, "
      + "source, track, image, foreignObject, animate, set, use, feImage, marquee, noscript, textarea[name]";
    for (const element of document.querySelectorAll("*")) {
      const tag = element.localName;
      const say = (what) => found.push(`<${tag}> ${what}: ${element.outerHTML.slice(0, 200)}`);
      const isMain = element.parentElement === document.head;
      if (element.matches(never) && !(tag === "noscript" && element.parentElement === document.body)) say("is there");
      if (tag === "script" && !(isMain && element.src && own(element.src))) say("is a script");
      if (tag === "style" && !isMain) say("is a style");
      if (tag === "form" && element.hasAttribute("action")) say("has an action");
      if (tag === "meta" && !isMain) say("is there");
      if (tag === "link" && !(isMain && own(element.href))) say("is a link");
      for (const { name, value } of element.attributes) {
        if (name.startsWith("on") || name === "srcdoc" || name === "ping" || name === "formaction") say(name);
        if (["src", "srcset", "poster", "background", "data"].includes(name) && !own(value)) say(name);
        if (name === "style" && /url|import|expression/i.test(value)) say(name);
        if (name === "href" || name === "xlink:href") {
          const safe = links ? /^(https?|mailto):/i.test(value) && element.rel.includes("noreferrer") : false;
          if (!own(value) && !safe) say(name);
        }
      }
    }
    return found;
  }, links);
}

/** Returns the hosts that a browser looked up, connected to or asked, as its own log of the network has them. */
export async function hostsOf(netLog) {
  const { constants, events } = await readNetLog(netLog);
  const { logEventTypes: types } = constants;
  const looked = new Set([types.HOST_RESOLVER_MANAGER_REQUEST, types.HOST_RESOLVER_MANAGER_JOB]);
  const hosts = new Set();
  for (const { type, params } of events) {
    if (looked.has(type) && params?.host) hosts.add(hostOf(params.host));
    if (type === types.URL_REQUEST_START_JOB && params?.url) hosts.add(hostOf(params.url));
  }
  hosts.delete(null);
  return hosts;
}

function hostOf(text) {
  try {
    return new URL(/^[a-z]+:\/\//.test(text) ? text : `http://${text}`).hostname;
  } catch {
    return null;
  }
}

async function readNetLog(file) {
  const text = (await readFile(file, "utf8")).trimEnd();
  try {
    return JSON.parse(text);
  } catch {
    // A browser that ended in haste leaves the last bracket out.
    return JSON.parse(`${text.replace(/,$/, "")}]}`);
  }
}
