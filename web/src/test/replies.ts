/** Replies that the imitation server gives in several places. */
import type { Problem } from "../api/types";

export function problem(status: number, code: string, title: string, detail: string): Response {
  const body = { type: `https://kura.invalid/${code}`, title, status, detail, code };
  return Response.json(body, {
    status,
    headers: { "content-type": "application/problem+json", "x-request-id": "req-7f3a" },
  });
}

export function notFound(code: Problem["code"]): Response {
  return problem(404, code, "Not Found", "there is nothing under this id");
}

export function now(): string {
  return new Date().toISOString();
}
