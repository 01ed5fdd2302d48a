import "@testing-library/jest-dom/vitest";
import { File as NodeFile } from "node:buffer";
import { cleanup, configure } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { signOut } from "../api/session";
import { createHandlers } from "./handlers";
import { server } from "./server";

// As the time of a test in `vite.config.ts`: enough on a busy machine, too.
configure({ asyncUtilTimeout: 10_000 });

beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
beforeEach(() => {
  // Each test gets a server of its own, with the documents that it starts with.
  server.resetHandlers(...createHandlers({ pace: 0, baseUrl: location.origin }));
});
afterEach(() => {
  cleanup();
  signOut();
  localStorage.clear();
});
afterAll(() => server.close());

// jsdom's own forms and files lose the names of files on their way through Node's `fetch`.
const form = await new Response(new URLSearchParams()).formData();
globalThis.FormData = form.constructor as typeof FormData;
globalThis.File = NodeFile as unknown as typeof File;

// What jsdom has no layout or no modal for.
Element.prototype.scrollIntoView = () => undefined;
globalThis.matchMedia ??= (query) =>
  ({ matches: true, media: query, addEventListener() {}, removeEventListener() {} }) as never;
HTMLDialogElement.prototype.showModal ??= function showModal(this: HTMLDialogElement) {
  this.open = true;
};
