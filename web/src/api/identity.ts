/** Who may do what: what the pages of one's account and of people read, and the changes that take more than a request. */
import {
  type InfiniteData,
  infiniteQueryOptions,
  type QueryKey,
  queryOptions,
  useInfiniteQuery,
} from "@tanstack/react-query";
import { useEffect } from "react";
import { api, body, singleSignOn } from "./client";
import { amendAccount } from "./session";
import type { ApiKey, CollectionMember, Group, MemberRole, User, UserSession } from "./types";

/** Users at a time: the most that the server gives. */
const USERS = 200;
/** Keys at a time. */
const KEYS = 50;

/** Of a user's things, `null` are one's own. */
export const identityKeys = {
  users: ["users"],
  user: (name: string) => ["user", name],
  groups: ["groups"],
  group: (name: string) => ["groups", name],
  sessions: (user: string | null) => ["sessions", user],
  apiKeys: (user: string | null) => ["api-keys", user],
  members: (collection: string) => ["members", collection],
  singleSignOn: ["single-sign-on"],
};

type Page<T> = { items: T[]; next_cursor: string | null };

const allItems = <T>({ pages }: InfiniteData<Page<T>>): T[] => pages.flatMap(({ items }) => items);

const usersQuery = infiniteQueryOptions({
  queryKey: identityKeys.users,
  queryFn: async ({ pageParam, signal }): Promise<Page<User>> => {
    const query = { limit: USERS, ...(pageParam === null ? {} : { cursor: pageParam }) };
    return body(await api.GET("/api/v1/users", { params: { query }, signal }));
  },
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next_cursor,
  select: allItems<User>,
});

/** All users, page after page: the server does not search, so what is searched has to be here. */
export function useUsers(enabled = true) {
  const list = useInfiniteQuery({ ...usersQuery, enabled });
  const { data, hasNextPage, isFetching, isError, isPending, error, fetchNextPage, refetch } = list;
  useEffect(() => {
    if (enabled && hasNextPage && !isFetching && !isError) void fetchNextPage();
  }, [enabled, hasNextPage, isFetching, isError, fetchNextPage]);
  return { data, isPending, isComplete: data !== undefined && !hasNextPage, error, refetch };
}

export const userQuery = (name: string) =>
  queryOptions({
    queryKey: identityKeys.user(name),
    queryFn: async ({ signal }): Promise<User> =>
      body(await api.GET("/api/v1/users/{id}", { params: { path: { id: name } }, signal })),
  });

export const groupsQuery = queryOptions({
  queryKey: identityKeys.groups,
  queryFn: async ({ signal }): Promise<Group[]> =>
    body(await api.GET("/api/v1/groups", { signal })).items,
});

export const groupQuery = (name: string) =>
  queryOptions({
    queryKey: identityKeys.group(name),
    queryFn: async ({ signal }): Promise<Group> =>
      body(await api.GET("/api/v1/groups/{name}", { params: { path: { name } }, signal })),
  });

export const sessionsQuery = (user: string | null) =>
  queryOptions({
    queryKey: identityKeys.sessions(user),
    queryFn: async ({ signal }): Promise<UserSession[]> => {
      const query = user === null ? {} : { user };
      return body(await api.GET("/api/v1/sessions", { params: { query }, signal })).items;
    },
    // Whoever looks for a stranger wants to see what is, not what was.
    staleTime: 0,
  });

export const apiKeysQuery = (user: string | null) =>
  infiniteQueryOptions({
    queryKey: identityKeys.apiKeys(user),
    queryFn: async ({ pageParam, signal }): Promise<Page<ApiKey>> => {
      const query = {
        limit: KEYS,
        ...(user === null ? {} : { user }),
        ...(pageParam === null ? {} : { cursor: pageParam }),
      };
      return body(await api.GET("/api/v1/api-keys", { params: { query }, signal }));
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor,
    select: allItems<ApiKey>,
    staleTime: 0,
  });

/** Whom a collection is for; only its editors are told. */
export const membersQuery = (collection: string) =>
  queryOptions({
    queryKey: identityKeys.members(collection),
    queryFn: async ({ signal }): Promise<CollectionMember[]> => {
      const params = { path: { name: collection } };
      return body(await api.GET("/api/v1/collections/{name}/members", { params, signal }));
    },
  });

export const singleSignOnQuery = queryOptions({
  queryKey: identityKeys.singleSignOn,
  queryFn: singleSignOn,
  staleTime: Number.POSITIVE_INFINITY,
});

/** What shows a user. */
export const shownOf = (name: string): QueryKey[] => [
  identityKeys.user(name),
  identityKeys.users,
  identityKeys.groups,
  identityKeys.sessions(name),
];

/** What shows who belongs to a group. */
export const shownOfGroups: QueryKey[] = [identityKeys.groups, identityKeys.users, ["user"]];

/** Puts a user into a group or takes them out. The server takes whole lists, so it is asked for the present one first. */
export async function setGroupMember(name: string, user: string, belongs: boolean): Promise<void> {
  const params = { path: { name } };
  const { members } = body(await api.GET("/api/v1/groups/{name}", { params }));
  const others = members.filter((member) => member.name !== user).map(({ id }) => id);
  const users = belongs ? [...others, user] : others;
  const reply = await api.PUT("/api/v1/groups/{name}/members", { params, body: { users } });
  amendOwnGroup(body(reply));
}

export async function deleteGroup(group: Group): Promise<void> {
  await api.DELETE("/api/v1/groups/{name}", { params: { path: { name: group.name } } });
  amendOwnGroup({ ...group, members: [] });
}

/** Who is signed in may have changed the own groups. */
function amendOwnGroup({ name, members }: Group) {
  amendAccount((account) => {
    const others = account.groups.filter((group) => group !== name);
    const isIn = members.some(({ id }) => id === account.id);
    return { ...account, groups: isIn ? [...others, name].sort() : others };
  });
}

/** Says what a group may do in a collection; `null` takes it out. */
export async function setCollectionMember(
  collection: string,
  group: string,
  role: MemberRole | null,
): Promise<CollectionMember[]> {
  const params = { path: { name: collection } };
  const present = body(await api.GET("/api/v1/collections/{name}/members", { params }));
  const others = present.filter((member) => member.group !== group);
  const members = role === null ? others : [...others, { group, role }];
  return body(await api.PUT("/api/v1/collections/{name}/members", { params, body: members }));
}
