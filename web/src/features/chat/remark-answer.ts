/**
 * A remark plugin for answers: turns the markers `[1]` into buttons and marks ranges of the text.
 * Raw HTML and link definitions are not read as such: what a model writes stays text.
 */
import type { Emphasis, Nodes, PhrasingContent, Root, Text } from "mdast";
import type { Processor } from "unified";
import type { CharRange } from "./byte-offsets";

/** A range of the Markdown source, and the attributes that its text gets. */
export type MarkedRange = CharRange & { attributes: Record<string, string>; note?: string };

export type Options = {
  /** The markers that become buttons; others stay as they are written. */
  markers: ReadonlySet<number>;
  ranges: MarkedRange[];
};

const MARKER = /\[(\d{1,3})\]/g;

export function remarkAnswer(this: Processor, { markers, ranges }: Options) {
  const data = this.data() as { micromarkExtensions?: unknown[] };
  data.micromarkExtensions ??= [];
  data.micromarkExtensions.push({
    disable: { null: ["htmlFlow", "htmlText", "definition"] },
  });
  return (root: Root) => {
    const last = new Map<MarkedRange, Emphasis>();
    rewrite(root, (node) => split(node, markers, ranges, last));
    for (const [range, node] of last) {
      if (range.note) node.children.push(element("i", { title: range.note }, []));
    }
  };
}

/** Replaces every text below a node, code excepted. */
function rewrite(node: Nodes, replace: (text: Text) => PhrasingContent[]) {
  if (!("children" in node)) return;
  const children = node.children as Nodes[];
  node.children = children.flatMap((child): Nodes[] => {
    if (child.type === "text") return replace(child);
    rewrite(child, replace);
    return [child];
  }) as typeof node.children;
}

function split(
  node: Text,
  markers: ReadonlySet<number>,
  ranges: MarkedRange[],
  last: Map<MarkedRange, Emphasis>,
): PhrasingContent[] {
  const { value } = node;
  const base = sourceOffset(node);
  const found = [...value.matchAll(MARKER)].filter((match) => markers.has(Number(match[1])));
  const cuts = new Set([0, value.length]);
  for (const match of found) cuts.add(match.index).add(match.index + match[0].length);
  if (base !== null) {
    for (const range of ranges) {
      for (const cut of [range.start - base, range.end - base]) {
        if (cut > 0 && cut < value.length) cuts.add(cut);
      }
    }
  }
  const sorted = [...cuts].sort((a, b) => a - b);
  const parts: PhrasingContent[] = [];
  for (const [i, start] of sorted.entries()) {
    const end = sorted[i + 1];
    if (end === undefined) break;
    const marker = found.find((match) => match.index === start);
    if (marker) {
      const offset = base === null ? -1 : base + start;
      parts.push(element("button", { value: marker[1] ?? "", name: String(offset) }, []));
      continue;
    }
    const beforeMarker = found.some((match) => match.index === end);
    const text: Text = { type: "text", value: trimIf(beforeMarker, value.slice(start, end)) };
    const covering =
      base === null
        ? []
        : ranges.filter((range) => range.start <= base + start && base + end <= range.end);
    if (covering.length === 0) {
      parts.push(text);
      continue;
    }
    const marked = element("mark", Object.assign({}, ...covering.map((r) => r.attributes)), [text]);
    for (const range of covering) last.set(range, marked);
    parts.push(marked);
  }
  return parts;
}

/** A marker stands close to its sentence, and so on the same line. */
function trimIf(condition: boolean, text: string): string {
  return condition ? text.trimEnd() : text;
}

/** Where a text begins in the source; `null` when escapes make the two run apart. */
function sourceOffset(node: Text): number | null {
  const start = node.position?.start.offset;
  const end = node.position?.end.offset;
  if (start === undefined || end === undefined) return null;
  return end - start === node.value.length ? start : null;
}

/** An inline node that becomes the HTML element of this name. */
function element(
  name: string,
  properties: Record<string, string>,
  children: PhrasingContent[],
): Emphasis {
  return { type: "emphasis", children, data: { hName: name, hProperties: properties } };
}
