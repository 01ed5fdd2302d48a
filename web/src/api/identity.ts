/** Who may do what: what the pages of one's account and of people read, and the changes that take more than a request. */
import {
  infiniteQueryOptions,
  type QueryKey,
  queryOptions,
  useInfiniteQuery,
  useMutation,
  useQueryClient,
} from "@tanstack/react-query";
import { useEffect, useMemo } from "react";
import { api, body, singleSignOn } from "./client";
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

const usersQuery = infiniteQueryOptions({
  queryKey: identityKeys.users,
  queryFn: async ({ pageParam, signal }) => {
    const query = { limit: USERS, ...(pageParam === null ? {} : { cursor: pageParam }) };
    return body(await api.GET("/api/v1/users", { params: { query }, signal }));
  },
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next_cursor ?? null,
});

/** All users, page after page: the server does not search, so what is searched has to be here. */
export function useUsers(enabled = true) {
  const list = useInfiniteQuery({ ...usersQuery, enabled });
  const { data, hasNextPage, isFetching, isError, isPending, error, fetchNextPage, refetch } = list;
  useEffect(() => {
    if (enabled && hasNextPage && !isFetching && !isError) void fetchNextPage();
  }, [enabled, hasNextPage, isFetching, isError, fetchNextPage]);
  const users = useMemo(() => data?.pages.flatMap(({ items }): User[] => items) ?? [], [data]);
  return { users, isPending, isComplete: data !== undefined && !hasNextPage, error, refetch };
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
    queryFn: async ({ pageParam, signal }): Promise<{ items: ApiKey[]; next: string | null }> => {
      const query = {
        limit: KEYS,
        ...(user === null ? {} : { user }),
        ...(pageParam === null ? {} : { cursor: pageParam }),
      };
      const page = body(await api.GET("/api/v1/api-keys", { params: { query }, signal }));
      return { items: page.items, next: page.next_cursor ?? null };
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
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

/** A change of who may do what; what shows it is read anew, whether it was made or refused. */
export function useChange<Given, Result>(
  change: (given: Given) => Promise<Result>,
  ...shownBy: QueryKey[]
) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSettled: () => Promise.all(shownBy.map((queryKey) => client.invalidateQueries({ queryKey }))),
  });
}

/** Puts a user into a group or takes them out. The server takes whole lists, so it is asked for the present one first. */
export async function setGroupMember(name: string, user: string, belongs: boolean): Promise<Group> {
  const params = { path: { name } };
  const { members } = body(await api.GET("/api/v1/groups/{name}", { params }));
  const others = members.filter((member) => member.name !== user).map(({ id }) => id);
  const users = belongs ? [...others, user] : others;
  return body(await api.PUT("/api/v1/groups/{name}/members", { params, body: { users } }));
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
