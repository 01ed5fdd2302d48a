/** Files on their way into a collection: sent one at a time, then followed until indexed. */
import { useQueryClient } from "@tanstack/react-query";
import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { api, body } from "../../api/client";
import { ApiError, isAbort } from "../../api/errors";
import { followJob } from "../../api/events";
import { isOver, keys } from "../../api/queries";
import type { Job } from "../../api/types";
import { createLimit } from "./limit";

export type Upload = {
  id: string;
  name: string;
  collection: string;
  /** `working` means that the server has it: see `job`. */
  state: "waiting" | "sending" | "working" | "done" | "failed";
  job: Job | null;
  outcome: "new" | "replaced" | "unchanged" | null;
  error: unknown;
};

type Uploads = {
  uploads: Upload[];
  add: (files: File[], collection: string) => void;
  /** Follows a job that something else started: another tab, or this one before a reload. */
  adopt: (job: Job) => void;
  dismiss: (id: string) => void;
  clearFinished: () => void;
};

/**
 * A browser keeps six connections to one server over HTTP/1.1.
 * One to send and two to follow leave room for everything else.
 */
const SENDING = 1;
const FOLLOWING = 2;
const FOLLOW_RETRIES = 5;
const RETRY_AFTER_MS = 1_000;

const UploadsContext = createContext<Uploads | null>(null);

export function UploadsProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [uploads, setUploads] = useState<Upload[]>([]);
  const [send] = useState(() => createLimit(SENDING));
  const [follow] = useState(() => createLimit(FOLLOWING));
  const nextUpload = useRef(1);
  const known = useRef(new Set<string>());
  const closing = useRef(new AbortController());
  useEffect(() => {
    const controller = new AbortController();
    closing.current = controller;
    return () => controller.abort();
  }, []);

  const change = useCallback((id: string, fields: Partial<Upload>) => {
    setUploads((all) => all.map((one) => (one.id === id ? { ...one, ...fields } : one)));
  }, []);

  const refresh = useCallback(async () => {
    await Promise.all([
      client.invalidateQueries({ queryKey: keys.documents }),
      client.invalidateQueries({ queryKey: keys.collections }),
    ]);
  }, [client]);

  const watch = useCallback(
    async (id: string, job: Job) => {
      const { signal } = closing.current;
      const end = isOver(job)
        ? job
        : await follow(() => untilOver(job, signal, (next) => change(id, { job: next })));
      const failed = end.state === "failed" || end.state === "cancelled";
      change(id, { job: end, state: failed ? "failed" : "done", error: failed ? end.error : null });
      await refresh();
    },
    [change, follow, refresh],
  );

  const start = useCallback(
    async (id: string, file: File, collection: string) => {
      try {
        const { document, job, outcome } = await send(() => {
          change(id, { state: "sending" });
          return sendFile(file, collection);
        });
        if (job) known.current.add(job.id);
        change(id, { state: "working", job, outcome });
        void refresh();
        if (job) await watch(id, job);
        else if (document.status === "failed") {
          change(id, { state: "failed", error: document.error });
        } else change(id, { state: "done" });
      } catch (error) {
        if (!isAbort(error)) change(id, { state: "failed", error });
      }
    },
    [change, refresh, send, watch],
  );

  const value = useMemo<Uploads>(
    () => ({
      uploads,
      add: (files, collection) => {
        const added = files.map((file) => ({
          file,
          upload: blank(`upload-${nextUpload.current++}`, file.name, collection),
        }));
        setUploads((all) => [...all, ...added.map(({ upload }) => upload)]);
        for (const { file, upload } of added) void start(upload.id, file, collection);
      },
      adopt: (job) => {
        if (known.current.has(job.id)) return;
        known.current.add(job.id);
        const upload = blank(job.id, job.source, job.collection);
        setUploads((all) => [...all, { ...upload, state: "working", job }]);
        watch(upload.id, job).catch((error: unknown) => {
          if (!isAbort(error)) change(upload.id, { state: "failed", error });
        });
      },
      dismiss: (id) => setUploads((all) => all.filter((one) => one.id !== id)),
      clearFinished: () => setUploads((all) => all.filter((one) => !isFinished(one))),
    }),
    [uploads, start, watch, change],
  );
  return <UploadsContext value={value}>{children}</UploadsContext>;
}

export function useUploads(): Uploads {
  const uploads = useContext(UploadsContext);
  if (!uploads) throw new Error("useUploads needs an UploadsProvider above it");
  return uploads;
}

export function isFinished(upload: Upload): boolean {
  return upload.state === "done" || upload.state === "failed";
}

function blank(id: string, name: string, collection: string): Upload {
  return { id, name, collection, state: "waiting", job: null, outcome: null, error: null };
}

async function sendFile(file: File, collection: string) {
  const form = new FormData();
  // The server reads the parts in order, and wants to know the collection first.
  form.append("collection", collection);
  form.append("file", file, file.name);
  const reply = await api.POST("/api/v1/documents", {
    body: form as never,
    bodySerializer: (given: unknown) => given as FormData,
  });
  const [added] = body(reply).items;
  if (!added) throw new Error("the server accepted no file");
  return added;
}

/** Follows a job to its end; a stream that breaks is taken up again a few times. */
async function untilOver(
  job: Job,
  signal: AbortSignal,
  onChange: (job: Job) => void,
): Promise<Job> {
  let latest = job;
  for (let attempt = 0; ; attempt++) {
    try {
      for await (const next of followJob(job.id, signal)) {
        latest = next;
        if (isOver(next)) return next;
        onChange(next);
      }
      const path = { id: job.id };
      latest = body(await api.GET("/api/v1/jobs/{id}", { params: { path }, signal }));
      if (isOver(latest)) return latest;
    } catch (error) {
      const refused = error instanceof ApiError && error.status < 500;
      if (isAbort(error) || refused || attempt >= FOLLOW_RETRIES) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
    signal.throwIfAborted();
  }
}
