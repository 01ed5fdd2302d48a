/** The typed client of kura's REST interface; every refusal becomes an `ApiError`. */
import createClient, { type Middleware } from "openapi-fetch";
import { ApiError } from "./errors";
import type { paths } from "./schema";
import { currentAuthorization, currentKey, isSignedIn, signOut } from "./session";
import type { Account, SingleSignOn } from "./types";

/** Leaving the page; tests look at where to. */
export const elsewhere = {
  go: (url: string) => globalThis.location.assign(url),
};

const authorize: Middleware = {
  onRequest({ request }) {
    const authorization = currentAuthorization();
    if (authorization && !request.headers.has("authorization")) {
      request.headers.set("authorization", authorization);
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
  // The cookie of the session goes to kura and nowhere else.
  credentials: "same-origin",
  // Looked up at call time, so that tests may replace it.
  fetch: (request) => globalThis.fetch(request),
});
api.use(authorize, refuse);

/** Turns a refusal into an error, and leaves when the key or the session no longer holds. */
export async function refusal(authorization: string | null, response: Response): Promise<ApiError> {
  const error = await ApiError.fromResponse(response);
  // A wrong password is a 401 too, and no reason to leave.
  const isOver = error.code === "unauthorized" && authorization === currentAuthorization();
  if (isOver && isSignedIn()) signOut(currentKey() === null ? "ended" : "refused");
  return error;
}

/** Says who the cookie of this browser stands for. */
export async function currentAccount(): Promise<Account> {
  return body(await api.GET("/api/v1/session"));
}

/** Signs a person in: the server sets the cookie. */
export async function signInWithPassword(
  name: string,
  password: string,
  totp: string | null,
): Promise<Account> {
  return body(await api.POST("/api/v1/session", { body: { name, password, totp } }));
}

/** Says whether people can sign in at an identity provider, and what to call that. */
export async function singleSignOn(): Promise<SingleSignOn> {
  return body(await api.GET("/api/v1/session/oidc"));
}

/** Where a browser begins to sign in at the identity provider, to come back to a path of the page. */
export function singleSignOnUrl(path: string): string {
  return `/api/v1/session/oidc/start?${new URLSearchParams({ return_to: path })}`;
}

/** Leaves: a key is forgotten, a session ended at the server, and at the identity provider where there is one. */
export async function leave(): Promise<void> {
  if (currentKey() === null) {
    try {
      const { data } = await api.DELETE("/api/v1/session");
      if (data?.provider_url) return elsewhere.go(data.provider_url);
    } catch (failure) {
      // A session that is over already is what was wanted; one that may still hold is not.
      if (!(failure instanceof ApiError && failure.status === 401)) throw failure;
    }
  }
  signOut();
}

/** Says who `apiKey` stands for, when the server accepts it. */
export async function checkKey(apiKey: string): Promise<Account> {
  // No header can carry other characters, so no key has them.
  if (!/^[\x21-\x7e]+$/.test(apiKey)) throw malformedKey();
  const headers = { authorization: `Bearer ${apiKey}` };
  return body(await api.GET("/api/v1/session", { headers }));
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
