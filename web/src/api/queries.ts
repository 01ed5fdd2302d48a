/** What the pages read from the server, as TanStack Query options; one place for keys and freshness. */
import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";
import { api, body } from "./client";
import type { ConversationDetail, Document, FoundDocument, Job } from "./types";

const PAGE_SIZE = 50;

export const keys = {
  collections: ["collections"],
  documents: ["documents"],
  document: (id: string) => ["document", id],
  foundDocuments: (text: string) => ["found-documents", text],
  documentText: (id: string) => ["document-text", id],
  conversations: ["conversations"],
  conversation: (id: string) => ["conversation", id],
  jobs: ["jobs"],
};

export const collectionsQuery = queryOptions({
  queryKey: keys.collections,
  queryFn: async ({ signal }) => {
    const query = { limit: 200 };
    return body(await api.GET("/api/v1/collections", { params: { query }, signal })).items;
  },
});

export const documentsQuery = (collection: string | null) =>
  infiniteQueryOptions({
    queryKey: [...keys.documents, collection],
    queryFn: async ({ pageParam, signal }) => {
      const query = {
        limit: PAGE_SIZE,
        ...(collection === null ? {} : { collection }),
        ...(pageParam === null ? {} : { cursor: pageParam }),
      };
      return body(await api.GET("/api/v1/documents", { params: { query }, signal }));
    },
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next_cursor ?? null,
  });

export const documentTextQuery = (id: string, version: string) =>
  queryOptions({
    queryKey: [...keys.documentText(id), version],
    queryFn: async ({ signal }) =>
      body(await api.GET("/api/v1/documents/{id}/text", { params: { path: { id } }, signal })),
    staleTime: 60_000,
  });

export const documentQuery = (id: string) =>
  queryOptions({
    queryKey: keys.document(id),
    queryFn: async ({ signal }): Promise<Document> =>
      body(await api.GET("/api/v1/documents/{id}", { params: { path: { id } }, signal })),
    staleTime: 60_000,
  });

/** The documents that a search for `text` finds, each once. */
export const foundDocumentsQuery = (text: string) =>
  queryOptions({
    queryKey: keys.foundDocuments(text),
    queryFn: async ({ signal }): Promise<FoundDocument[]> => {
      const query = { query: text, limit: 30 };
      const { items } = body(await api.POST("/api/v1/search", { body: query, signal }));
      const found = new Map<string, FoundDocument>();
      for (const { document: id, title, collection, source } of items) {
        if (!found.has(id)) found.set(id, { id, title, collection, source });
      }
      return [...found.values()];
    },
    staleTime: 60_000,
  });

/** The jobs that are not over, as the server lists them. */
export const activeJobsQuery = queryOptions({
  queryKey: keys.jobs,
  queryFn: async ({ signal }): Promise<Job[]> => {
    const query = { limit: 200 };
    const jobs = body(await api.GET("/api/v1/jobs", { params: { query }, signal })).items;
    return jobs.filter((job) => !isOver(job));
  },
});

export const conversationsQuery = infiniteQueryOptions({
  queryKey: keys.conversations,
  queryFn: async ({ pageParam, signal }) => {
    const query = { limit: PAGE_SIZE, ...(pageParam === null ? {} : { cursor: pageParam }) };
    return body(await api.GET("/api/v1/conversations", { params: { query }, signal }));
  },
  initialPageParam: null as string | null,
  getNextPageParam: (page) => page.next_cursor ?? null,
});

export const conversationQuery = (id: string) =>
  queryOptions({
    queryKey: keys.conversation(id),
    queryFn: async ({ signal }): Promise<ConversationDetail> =>
      body(await api.GET("/api/v1/conversations/{id}", { params: { path: { id } }, signal })),
    // Only this page adds messages, and it writes them into the cache itself.
    staleTime: Number.POSITIVE_INFINITY,
  });

export function isOver(job: Job): boolean {
  return job.state === "done" || job.state === "failed" || job.state === "cancelled";
}

/** Saves the original file of a document; the key travels in a header, so a plain link will not do. */
export async function downloadDocument(id: string, name: string): Promise<void> {
  const reply = await api.GET("/api/v1/documents/{id}/content", {
    params: { path: { id } },
    parseAs: "blob",
  });
  const url = URL.createObjectURL(body(reply) as unknown as Blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name.split("/").pop() ?? name;
  link.click();
  // The browser has the blob by the next task; the URL must not outlive it.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
