import type { Citation } from "../../api/types";
import type { Messages } from "../../i18n";

/** Where in its document a citation stands: page, sheet range and headings, as far as known. */
export function placeOf(citation: Citation, t: Messages): string {
  const page = typeof citation.page === "number" ? t.ask.page(citation.page) : null;
  const headings = (citation.headings ?? []).join(" › ");
  return [page, citation.range, headings].filter(Boolean).join(" · ");
}
