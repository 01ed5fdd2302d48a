import { createEvent, fireEvent, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import { I18nProvider } from "../../i18n";
import { Composer } from "./Composer";

function show(running = false) {
  localStorage.setItem("kura.language", "en");
  const onAsk = vi.fn();
  const onStop = vi.fn();
  render(
    <I18nProvider>
      <Composer
        collections={[]}
        collection={null}
        onCollection={() => undefined}
        followUp={false}
        running={running}
        onAsk={onAsk}
        onStop={onStop}
      />
    </I18nProvider>,
  );
  return { onAsk, onStop, box: screen.getByRole("textbox", { name: "Question" }) };
}

/** Presses Enter as a browser does; says whether the box would take it as a new line. */
function pressEnter(box: HTMLElement, init: KeyboardEventInit): boolean {
  const event = createEvent.keyDown(box, { key: "Enter", ...init });
  fireEvent(box, event);
  return !event.defaultPrevented;
}

describe("the question box", () => {
  it("sends on Enter, once, and empties itself", async () => {
    const { onAsk, box } = show();
    await userEvent.type(box, "  What about leave? {Enter}");
    expect(onAsk.mock.calls).toEqual([["What about leave?"]]);
    expect(box).toHaveValue("");
  });

  it("takes Shift + Enter for a new line", async () => {
    const { onAsk, box } = show();
    await userEvent.type(box, "one{Shift>}{Enter}{/Shift}two");
    expect(onAsk).not.toHaveBeenCalled();
    expect(box).toHaveValue("one\ntwo");
  });

  it.each([
    ["while composing", { isComposing: true }],
    ["when Safari ends the composition first", { keyCode: 229 }],
  ])("leaves Enter to the input method %s", (_, init) => {
    const { onAsk, box } = show();
    fireEvent.change(box, { target: { value: "ゆうきゅう" } });
    expect(pressEnter(box, init)).toBe(true);
    expect(onAsk).not.toHaveBeenCalled();
    expect(box).toHaveValue("ゆうきゅう");
    expect(pressEnter(box, { keyCode: 13 })).toBe(false);
    expect(onAsk).toHaveBeenCalledWith("ゆうきゅう");
  });

  it("does not send nothing", async () => {
    const { onAsk, box } = show();
    await userEvent.type(box, "   {Enter}");
    expect(onAsk).not.toHaveBeenCalled();
    expect(screen.getByRole("button", { name: "Send" })).toBeDisabled();
  });

  it("keeps the next question while one is being answered, and can stop it", async () => {
    const { onAsk, onStop, box } = show(true);
    await userEvent.type(box, "next{Enter}");
    expect(onAsk).not.toHaveBeenCalled();
    expect(box).toHaveValue("next");
    await userEvent.click(screen.getByRole("button", { name: "Stop" }));
    expect(onStop).toHaveBeenCalledOnce();
  });
});
