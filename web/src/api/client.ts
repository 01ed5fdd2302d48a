/** The typed client of kura's REST interface; every refusal becomes an `ApiError`. */
import createClient, { type Middleware } from "openapi-fetch";
import { ApiError } from "./errors";
import type { paths } from "./schema";
import { currentKey, signOut } from "./session";

const authorize: Middleware = {
  onRequest({ request }) {
    const key = currentKey();
    if (key && !request.headers.has("authorization")) {
      request.headers.set("authorization", `Bearer ${key}`);
    }
    return request;
  },
};

const refuse: Middleware = {
  async onResponse({ request, response }) {
    if (response.ok) return undefined;
    throw await refusal(request.headers.get("authorization"), response);
  },
};

export const api = createClient<paths>({
  baseUrl: globalThis.location.origin,
  // Looked up at call time, so that tests may replace it.
  fetch: (request) => globalThis.fetch(request),
});
api.use(authorize, refuse);

/** Turns a refusal into an error, and leaves the session when its key no longer holds. */
export async function refusal(authorization: string | null, response: Response): Promise<ApiError> {
  if (response.status === 401 && authorization === `Bearer ${currentKey()}`) signOut("refused");
  return ApiError.fromResponse(response);
}

/** Resolves when the server accepts `apiKey`. */
export async function checkKey(apiKey: string): Promise<void> {
  // No header can carry other characters, so no key has them.
  if (!/^[\x21-\x7e]+$/.test(apiKey)) throw malformedKey();
  await api.GET("/api/v1/collections", {
    params: { query: { limit: 1 } },
    headers: { authorization: `Bearer ${apiKey}` },
  });
}

function malformedKey(): ApiError {
  const detail = "the key has characters that no key has";
  return new ApiError(
    { type: "about:blank", title: "Unauthorized", status: 401, detail, code: "unauthorized" },
    null,
  );
}

/** The body of a reply whose success carries one. */
export function body<T>(reply: { data?: T }): T {
  if (reply.data === undefined) throw new Error("the server sent an empty reply");
  return reply.data;
}
