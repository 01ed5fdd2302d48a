import { screen, waitFor, within } from "@testing-library/react";
import { http } from "msw";
import { describe, expect, it } from "vitest";
import { openApp } from "../../test/render";
import { problem } from "../../test/replies";
import { server } from "../../test/server";

const QUESTION = "有給休暇は何日もらえますか";

async function answered() {
  const app = openApp();
  await app.user.type(await screen.findByRole("textbox"), `${QUESTION}{Enter}`);
  const bar = await screen.findByRole("region", { name: "Feedback on this answer" });
  return { ...app, bar };
}

function recordFeedback() {
  const sent: unknown[] = [];
  server.events.on("request:start", async ({ request }) => {
    if (request.method === "PUT") sent.push(await request.clone().json());
  });
  return sent;
}

describe("feedback", () => {
  it("is one press for a good answer, and can be taken back", async () => {
    const { user, bar } = await answered();
    const up = within(bar).getByRole("button", { name: "Good answer" });
    expect(up).toHaveAttribute("aria-pressed", "false");
    await user.click(up);
    await waitFor(() => expect(up).toHaveAttribute("aria-pressed", "true"));
    expect(within(bar).queryByRole("textbox")).toBeNull();
    await user.click(within(bar).getByRole("button", { name: "Add details" }));
    await user.click(within(bar).getByRole("button", { name: "Take back the rating" }));
    await waitFor(() => expect(up).toHaveAttribute("aria-pressed", "false"));
    expect(within(bar).queryByRole("textbox")).toBeNull();
  });

  it("asks what would have been right, and keeps it", async () => {
    const sent = recordFeedback();
    const { router, user, bar } = await answered();
    await user.click(within(bar).getByRole("button", { name: "Bad answer" }));
    await user.type(
      await within(bar).findByLabelText("What should it have said?"),
      "Twelve days after 18 months.",
    );
    await user.type(within(bar).getByLabelText("Comment"), "old figure");
    const named = within(bar).getByLabelText("Which document says it?");
    await user.type(named, "no such document");
    await user.click(within(bar).getByRole("button", { name: "Save" }));
    expect(within(bar).getByRole("alert")).toHaveTextContent("No document has this name");
    expect(sent).toEqual([{ rating: "down" }]);

    await user.clear(named);
    const suggested = "Remote work policy — handbook/remote-work.en.pdf";
    await waitFor(() =>
      expect([...bar.querySelectorAll("option")].map(({ value }) => value)).toContain(suggested),
    );
    await user.type(named, suggested);
    await user.click(within(bar).getByRole("button", { name: "Save" }));
    await waitFor(() => expect(within(bar).queryByRole("textbox")).toBeNull());
    server.events.removeAllListeners();
    expect(sent.at(-1)).toEqual({
      rating: "down",
      comment: "old figure",
      corrected_answer: "Twelve days after 18 months.",
      document: "document-remote",
    });

    // A change of mind about the thumb keeps the words.
    await user.click(within(bar).getByRole("button", { name: "Good answer" }));
    await user.click(within(bar).getByRole("button", { name: "Edit details" }));
    expect(within(bar).getByLabelText("Comment")).toHaveValue("old figure");
    await waitFor(() =>
      expect(within(bar).getByLabelText("Which document says it?")).toHaveValue(suggested),
    );

    // It is there when one comes back.
    const { pathname } = router.state.location;
    await router.navigate("/");
    await router.navigate(pathname);
    const again = await screen.findByRole("button", { name: "Good answer" });
    expect(again).toHaveAttribute("aria-pressed", "true");
  });

  it("says when it was not saved", async () => {
    const { user, bar } = await answered();
    server.use(
      http.put("*/api/v1/answers/:id/feedback", () =>
        problem(507, "storage_full", "Storage full", "the disk is full"),
      ),
    );
    const up = within(bar).getByRole("button", { name: "Good answer" });
    await user.click(up);
    const alert = await within(bar).findByRole("alert");
    expect(alert).toHaveTextContent("The feedback was not saved: Storage full");
    expect(up).toHaveAttribute("aria-pressed", "false");
  });

  it("is asked for where nothing was found, too", async () => {
    const { user } = openApp();
    await user.type(await screen.findByRole("textbox"), "Is there a pension plan?{Enter}");
    await screen.findByText("Not found in your documents");
    await user.click(screen.getByRole("button", { name: "Good answer" }));
    await waitFor(() =>
      expect(screen.getByRole("button", { name: "Good answer" })).toHaveAttribute(
        "aria-pressed",
        "true",
      ),
    );
  });
});
