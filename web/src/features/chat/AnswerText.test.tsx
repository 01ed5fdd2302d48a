import { render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import type { ComponentProps } from "react";
import { describe, expect, it, vi } from "vitest";
import type { Citation } from "../../api/types";
import { I18nProvider } from "../../i18n";
import { byteSpan } from "../../test/corpus";
import { AnswerText, DraftText } from "./AnswerText";

function citation(marker: number, text: string, sentence: string): Citation {
  return {
    marker,
    document: `d${marker}`,
    chunk: `d${marker}:1:0`,
    title: `Title ${marker}`,
    source: "s.txt",
    page: null,
    range: null,
    headings: [],
    quote: sentence,
    quote_span: { start: 0, end: 1 },
    answer_span: byteSpan(text, sentence),
  };
}

function show(props: Partial<ComponentProps<typeof AnswerText>> & { text: string }) {
  localStorage.setItem("kura.language", "en");
  const onOpen = vi.fn();
  const view = render(
    <I18nProvider>
      <AnswerText citations={[]} flags={[]} active={null} onOpen={onOpen} {...props} />
    </I18nProvider>,
  );
  return { onOpen, ...view };
}

describe("the text of an answer", () => {
  it("turns known markers into buttons, side by side and inside Markdown", async () => {
    const text = "- **甲は10日。**[1][2]\n- 乙は20日。[2]";
    const citations = [citation(1, text, "甲は10日。"), citation(2, text, "甲は10日。")];
    const { onOpen } = show({ text, citations });
    const buttons = screen.getAllByRole("button");
    expect(buttons.map((button) => button.textContent)).toEqual(["1", "2", "2"]);
    await userEvent.click(screen.getByRole("button", { name: "Source 1: Title 1" }));
    expect(onOpen).toHaveBeenCalledWith(citations[0]);
  });

  it("opens the citation of the sentence where a marker is used twice", async () => {
    const text = "甲は10日。[1] 乙は20日。[1]";
    const citations = [citation(1, text, "甲は10日。"), citation(1, text, "乙は20日。")];
    const { onOpen } = show({ text, citations });
    const [first, second] = screen.getAllByRole("button");
    if (!first || !second) throw new Error("two buttons expected");
    await userEvent.click(second);
    expect(onOpen).toHaveBeenLastCalledWith(citations[1]);
    await userEvent.click(first);
    expect(onOpen).toHaveBeenLastCalledWith(citations[0]);
  });

  it("leaves numbers in brackets alone when they cite nothing, or are code", () => {
    const text = "See [7], `a[1]` and this.[1]\n\n[1]: not a definition";
    show({ text, citations: [citation(1, text, "this.")] });
    expect(screen.getAllByRole("button")).toHaveLength(2);
    expect(screen.getByText(/See \[7\]/)).toBeInTheDocument();
    expect(screen.getByText("a[1]")).toBeInTheDocument();
  });

  it("marks the sentence of a flag, and says why", () => {
    const text = "確かな文。**合計は99円**です。";
    const flag = {
      kind: "unsupported_number" as const,
      text: "",
      answer_span: byteSpan(text, "**合計は99円**です。"),
    };
    const { container } = show({ text, flags: [flag] });
    const flagged = [...container.querySelectorAll("[data-flag]")].map((node) => node.textContent);
    expect(flagged).toEqual(["合計は99円", "です。"]);
    expect(screen.getAllByRole("img", { name: /number/ })).toHaveLength(1);
  });

  it("marks the sentence that the open citation supports", () => {
    const text = "一つめ。[1] 二つめ。[2]";
    const citations = [citation(1, text, "一つめ。"), citation(2, text, "二つめ。")];
    const { container } = show({ text, citations, active: citations[1] ?? null });
    expect(container.querySelector("[data-active]")?.textContent).toBe("二つめ。");
  });

  it("makes nothing live of what a model might write", () => {
    const text = [
      '<img src="http://evil.test/a.png" onerror="alert(1)">',
      "![secret](http://evil.test/b.png)",
      "[click](javascript:alert(1)) <script>alert(1)</script>",
      "[fine](https://example.com/)",
    ].join("\n\n");
    const { container } = show({ text });
    expect(container.querySelector("img, script")).toBeNull();
    expect(container).toHaveTextContent("secret click");
    for (const link of screen.getAllByRole("link")) {
      expect(link).toHaveAttribute("rel", "noreferrer noopener nofollow");
      expect(link.getAttribute("href")).toMatch(/^https?:/);
    }
    expect(screen.queryByRole("link", { name: /secret|click/ })).toBeNull();
    expect(container).toHaveTextContent("<script>alert(1)</script>");
  });

  it("shows the markers of a draft without anything to press", () => {
    const { container } = render(<DraftText text="甲。[1] 乙。[9]" nHits={3} />);
    expect(screen.queryByRole("button")).toBeNull();
    expect(container).toHaveTextContent("甲。\u20601 乙。[9]");
  });
});
