/** Serves the imitation server from Vite, for work on the looks without a `kura serve`. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { getResponse, type RequestHandler } from "msw";
import type { Connect, Plugin } from "vite";
import { createHandlers } from "./handlers.ts";

const ORIGIN = "http://kura.test";

export function mockServer(): Plugin {
  const handlers = createHandlers({
    pace: Number(process.env.KURA_MOCK_PACE ?? 60),
    baseUrl: ORIGIN,
    empty: process.env.KURA_MOCK_EMPTY === "1",
  });
  return {
    name: "kura-mock-server",
    // The proxy of the ordinary configuration would answer first.
    config: () => ({ server: { proxy: {} }, preview: { proxy: {} } }),
    configResolved: (config) => {
      config.server.proxy = undefined;
      config.preview.proxy = undefined;
    },
    configureServer: ({ middlewares }) => void middlewares.use(answer(handlers)),
    configurePreviewServer: ({ middlewares }) => {
      middlewares.use((_, response, next) => {
        response.setHeader("content-security-policy", "default-src 'self'");
        next();
      });
      middlewares.use(answer(handlers));
    },
  };
}

function answer(handlers: RequestHandler[]): Connect.NextHandleFunction {
  return (request, response, next) => {
    if (!request.url?.startsWith("/api/")) return next();
    reply(handlers, request, response).catch(next);
  };
}

async function reply(handlers: RequestHandler[], incoming: IncomingMessage, out: ServerResponse) {
  const { method = "GET", url = "/" } = incoming;
  const headers = new Headers();
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined) headers.set(name, String(value));
  }
  const hasBody = method !== "GET" && method !== "HEAD";
  const request = new Request(ORIGIN + url, {
    method,
    headers,
    ...(hasBody
      ? { body: Readable.toWeb(incoming) as ReadableStream<Uint8Array>, duplex: "half" }
      : {}),
  } as RequestInit);
  const response = (await getResponse(handlers, request)) ?? new Response(null, { status: 404 });
  out.writeHead(response.status, Object.fromEntries(response.headers));
  if (!response.body) return out.end();
  const body = Readable.fromWeb(response.body as Parameters<typeof Readable.fromWeb>[0]);
  out.on("close", () => body.destroy());
  body.pipe(out);
}
