import type { Problem } from "./types";

/** A reply of the server that says no, as problem+json or as close to it as could be read. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly title: string;
  readonly detail: string;
  /** The id to look for in the server's log; `null` when the reply carried none. */
  readonly requestId: string | null;
  /** Seconds after which it makes sense to try again; `null` when the reply does not say. */
  readonly retryAfter: number | null;

  constructor(problem: Problem, requestId: string | null, retryAfter: number | null = null) {
    super(problem.detail || problem.title);
    this.name = "ApiError";
    this.status = problem.status;
    this.code = problem.code;
    this.title = problem.title;
    this.detail = problem.detail ?? "";
    this.requestId = requestId ?? problem.instance ?? null;
    this.retryAfter = retryAfter;
  }

  static async fromResponse(response: Response): Promise<ApiError> {
    const requestId = response.headers.get("x-request-id");
    const body: unknown = await response.json().catch(() => null);
    const retryAfter = Number(response.headers.get("retry-after") ?? Number.NaN);
    const wait = Number.isFinite(retryAfter) ? retryAfter : null;
    if (isProblem(body)) return new ApiError(body, requestId, wait);
    const problem = {
      type: "about:blank",
      title: response.statusText || `HTTP ${response.status}`,
      status: response.status,
      detail: "",
      code: "unknown",
    };
    return new ApiError(problem as Problem, requestId);
  }
}

/** The error if it has this code: that says which field of a form it is about. */
export function ofCode(error: unknown, code: Problem["code"]): ApiError | null {
  return error instanceof ApiError && error.code === code ? error : null;
}

export function isProblem(value: unknown): value is Problem {
  return (
    typeof value === "object" &&
    value !== null &&
    "title" in value &&
    typeof value.title === "string" &&
    "status" in value &&
    typeof value.status === "number" &&
    "code" in value &&
    typeof value.code === "string"
  );
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}
