/** People, groups, sessions and keys of the imitation server. */
import type { createOpenApiHttp } from "openapi-msw";
import type { paths } from "../api/schema";
import type { ApiKey, CollectionMember, Group, MadeApiKey, User, UserSession } from "../api/types";
import { PERSON } from "./corpus.ts";
import { notFound, now, problem } from "./replies.ts";

type Http = ReturnType<typeof createOpenApiHttp<paths>>;

export const PROVIDER = "https://login.example.com/realms/staff";
const CREATED = "2026-11-02T01:30:00Z";
const CHROME =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/147.0.0.0 Safari/537.36";
const SAFARI =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1";

/** The code that the imitated authenticator app shows. */
export const TOTP_CODE = "246810";

export function createIdentityHandlers(http: Http, empty: boolean) {
  const users = empty ? [] : createUsers();
  const groups = empty ? [] : createGroups();
  const apiKeys: ApiKey[] = empty ? [] : createKeys();
  let sessions: UserSession[] = [
    session("session-1", "user-1", CHROME, true),
    session("session-2", "user-1", SAFARI, false),
  ];
  const members = new Map<string, CollectionMember[]>();
  let nextId = 10;
  const userOf = (given: unknown) => users.find(({ id, name }) => id === given || name === given);
  const groupOf = (given: unknown) => groups.find(({ name }) => name === given);
  const membersOf = (collection: string) =>
    members.get(collection) ?? [{ group: "everyone", role: "reader" as const }];
  const syncGroups = () => {
    for (const user of users) {
      user.groups = groups
        .filter((group) => group.members.some(({ id }) => id === user.id))
        .map(({ name }) => name);
    }
  };
  const makeKey = (given: Partial<ApiKey> & { name: string; user: string }): MadeApiKey => {
    const n = nextId++;
    const key = `kura_${String(n).padStart(43, "x")}`;
    const made = apiKey(`key-${n}`, given.user, given.name, { ...given, created_at: now() });
    made.prefix = key.slice(0, 10);
    apiKeys.unshift(made);
    return { key, api_key: made };
  };

  return [
    http.get("/api/v1/users", ({ query, response }) => {
      const start = Number(query.get("cursor") ?? 0);
      const end = start + Number(query.get("limit") ?? 50);
      const items = users.slice(start, end);
      return response(200).json({ items, next_cursor: end < users.length ? String(end) : null });
    }),
    http.post("/api/v1/users", async ({ request, response }) => {
      const given = await request.json();
      if (userOf(given.name)) {
        return response.untyped(
          problem(409, "user_exists", "User exists", `\`${given.name}\` is taken; choose another`),
        );
      }
      const made = user(`user-${nextId++}`, given.name, given.display_name ?? given.name, {
        kind: given.kind ?? "person",
        role: given.role ?? "reader",
        email: given.email ?? null,
        source: given.subject ? PROVIDER : "local",
        created_at: now(),
      });
      users.push(made);
      for (const name of given.groups ?? []) {
        groupOf(name)?.members.push({ id: made.id, name: made.name });
      }
      syncGroups();
      return response(201).json(made);
    }),
    http.get("/api/v1/users/{id}", ({ params, response }) => {
      const known = userOf(params.id);
      return known ? response(200).json(known) : response.untyped(notFound("unknown_user"));
    }),
    http.patch("/api/v1/users/{id}", async ({ params, request, response }) => {
      const known = userOf(params.id);
      if (!known) return response.untyped(notFound("unknown_user"));
      const { display_name, email, role, active } = await request.json();
      if (display_name != null) known.display_name = display_name;
      if (email !== undefined) known.email = email;
      if (role != null) known.role = role;
      if (active != null) known.active = active;
      return response(200).json(known);
    }),
    http.delete("/api/v1/users/{id}", ({ params, response }) => {
      const known = userOf(params.id);
      if (!known) return response.untyped(notFound("unknown_user"));
      users.splice(users.indexOf(known), 1);
      for (const group of groups) {
        group.members = group.members.filter(({ id }) => id !== known.id);
      }
      return response(204).empty();
    }),
    http.delete("/api/v1/users/{id}/totp", ({ params, response }) => {
      const known = userOf(params.id);
      if (!known) return response.untyped(notFound("unknown_user"));
      known.has_totp = false;
      return response(204).empty();
    }),
    http.get("/api/v1/groups", ({ response }) =>
      response(200).json({ items: groups, next_cursor: null }),
    ),
    http.post("/api/v1/groups", async ({ request, response }) => {
      const { name, description = "" } = await request.json();
      if (groupOf(name)) {
        return response.untyped(
          problem(409, "group_exists", "Group exists", `there is a group \`${name}\``),
        );
      }
      const made: Group = { name, description, source: "local", members: [], created_at: now() };
      groups.push(made);
      return response(201).json(made);
    }),
    http.get("/api/v1/groups/{name}", ({ params, response }) => {
      const known = groupOf(params.name);
      return known ? response(200).json(known) : response.untyped(notFound("unknown_group"));
    }),
    http.delete("/api/v1/groups/{name}", ({ params, response }) => {
      const known = groupOf(params.name);
      if (!known) return response.untyped(notFound("unknown_group"));
      groups.splice(groups.indexOf(known), 1);
      syncGroups();
      return response(204).empty();
    }),
    http.put("/api/v1/groups/{name}/members", async ({ params, request, response }) => {
      const known = groupOf(params.name);
      if (!known) return response.untyped(notFound("unknown_group"));
      const given = (await request.json()).users.map(userOf);
      if (given.includes(undefined)) return response.untyped(notFound("unknown_user"));
      known.members = given.flatMap((one) => (one ? [{ id: one.id, name: one.name }] : []));
      syncGroups();
      return response(200).json(known);
    }),
    http.get("/api/v1/api-keys", ({ query, response }) => {
      const owner = userOf(query.get("user") ?? PERSON.name);
      const items = apiKeys.filter((key) => key.user === owner?.id);
      return response(200).json({ items, next_cursor: null });
    }),
    http.post("/api/v1/api-keys", async ({ request, response }) => {
      const { user: owner, ...given } = await request.json();
      const user = userOf(owner ?? PERSON.name)?.id ?? "user-1";
      return response(201).json(makeKey({ ...given, user } as ApiKey));
    }),
    http.delete("/api/v1/api-keys/{id}", ({ params, response }) => {
      const known = apiKeys.find(({ id }) => id === params.id);
      if (!known) return response.untyped(notFound("unknown_api_key"));
      known.revoked_at = now();
      return response(204).empty();
    }),
    http.post("/api/v1/api-keys/{id}/rotate", ({ params, response }) => {
      const known = apiKeys.find(({ id }) => id === params.id);
      if (!known) return response.untyped(notFound("unknown_api_key"));
      const key = `kura_${String(nextId++).padStart(43, "y")}`;
      known.prefix = key.slice(0, 10);
      known.last_used_at = null;
      return response(200).json({ key, api_key: known });
    }),
    http.get("/api/v1/sessions", ({ query, response }) => {
      const owner = userOf(query.get("user") ?? PERSON.name);
      const items = sessions.filter(({ user }) => user === owner?.id);
      return response(200).json({ items, next_cursor: null });
    }),
    http.delete("/api/v1/sessions", ({ query, response }) => {
      const owner = userOf(query.get("user") ?? PERSON.name);
      sessions = sessions.filter(({ user, current }) => user !== owner?.id || current);
      return response(204).empty();
    }),
    http.delete("/api/v1/sessions/{id}", ({ params, response }) => {
      sessions = sessions.filter(({ id }) => id !== params.id);
      return response(204).empty();
    }),
    http.put("/api/v1/session/password", async ({ request, response }) => {
      const { current } = await request.json();
      if (current !== PERSON.password) return response.untyped(wrongPassword());
      sessions = sessions.filter((one) => one.current);
      return response(204).empty();
    }),
    http.post("/api/v1/session/totp", async ({ request, response }) => {
      const { password } = await request.json();
      if (password !== PERSON.password) return response.untyped(wrongPassword());
      const secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";
      const url = `otpauth://totp/kura:${PERSON.name}?secret=${secret}&issuer=kura`;
      return response(201).json({ secret, url });
    }),
    http.post("/api/v1/session/totp/confirm", async ({ request, response }) => {
      const { code } = await request.json();
      if (code !== TOTP_CODE) {
        return response.untyped(
          problem(400, "invalid_request", "Invalid request", "the code is not the one"),
        );
      }
      const codes = Array.from({ length: 10 }, (_, i) => `abcd-efgh-jkmn-pq${i}${i}`);
      return response(200).json({ recovery_codes: codes });
    }),
    http.post("/api/v1/session/totp/remove", async ({ request, response }) => {
      const { password } = await request.json();
      if (password !== PERSON.password) return response.untyped(wrongPassword());
      return response(204).empty();
    }),
    http.get("/api/v1/collections/{name}/members", ({ params, response }) =>
      response(200).json(membersOf(String(params.name))),
    ),
    http.put("/api/v1/collections/{name}/members", async ({ params, request, response }) => {
      const given = await request.json();
      members.set(String(params.name), given);
      return response(200).json(given);
    }),
  ];
}

function wrongPassword(): Response {
  const detail = "the present password is another one";
  return problem(401, "invalid_credentials", "Invalid credentials", detail);
}

function createUsers(): User[] {
  return [
    user("user-1", "taro", "Taro Yamada", {
      role: "editor",
      groups: ["hr"],
      last_sign_in_at: "2026-11-29T23:40:00Z",
    }),
    user("user-2", "hanako", "佐藤 花子", {
      role: "admin",
      email: "hanako@example.com",
      has_totp: true,
      last_sign_in_at: "2026-11-30T00:12:00Z",
    }),
    user("user-3", "kim@example.com", "Kim Lee", {
      source: PROVIDER,
      groups: ["sales"],
      last_sign_in_at: "2026-11-20T05:00:00Z",
    }),
    user("user-4", "old", "Old Account", { active: false }),
    user("user-5", "crm", "CRM", { kind: "service" }),
  ];
}

function createGroups(): Group[] {
  const group = (name: string, description: string, source: string, members: Group["members"]) => ({
    name,
    description,
    source,
    members,
    created_at: CREATED,
  });
  return [
    group("hr", "Human Resources", "local", [{ id: "user-1", name: "taro" }]),
    group("sales", "", PROVIDER, [{ id: "user-3", name: "kim@example.com" }]),
  ];
}

function createKeys(): ApiKey[] {
  return [
    apiKey("key-1", "user-1", "notebook", { last_used_at: "2026-11-29T12:00:00Z" }),
    apiKey("key-2", "user-1", "nightly", {
      collections: ["handbook"],
      role: "reader",
      expires_at: "2099-01-01T00:00:00Z",
    }),
    apiKey("key-3", "user-1", "laptop of last year", { revoked_at: "2026-01-01T00:00:00Z" }),
  ];
}

function user(id: string, name: string, display_name: string, more: Partial<User> = {}): User {
  return {
    id,
    kind: "person",
    name,
    display_name,
    email: null,
    role: "reader",
    active: true,
    source: "local",
    has_totp: false,
    groups: [],
    created_at: CREATED,
    updated_at: CREATED,
    last_sign_in_at: null,
    tokens_today: 0,
    ...more,
  };
}

function apiKey(id: string, owner: string, name: string, more: Partial<ApiKey> = {}): ApiKey {
  return {
    role: null,
    collections: null,
    requests_per_minute: null,
    tokens_per_day: null,
    tokens_today: 0,
    created_at: CREATED,
    expires_at: null,
    last_used_at: null,
    revoked_at: null,
    ...more,
    id,
    user: owner,
    name,
    prefix: `kura_${id.slice(0, 5)}`,
  };
}

function session(id: string, user: string, user_agent: string, current: boolean): UserSession {
  return {
    id,
    user,
    user_agent,
    current,
    created_at: CREATED,
    seen_at: "2026-11-30T00:12:00Z",
    expires_at: "2030-01-01T00:00:00Z",
  };
}
