import { screen, waitFor, within } from "@testing-library/react";
import { http } from "msw";
import { describe, expect, it } from "vitest";
import { createHandlers, eventStream } from "../../test/handlers";
import { openApp } from "../../test/render";
import { problem } from "../../test/replies";
import { server } from "../../test/server";

function file(name: string, text = "hello") {
  return new File([text], name, { type: "text/plain" });
}

async function upload(user: ReturnType<typeof openApp>["user"], ...files: File[]) {
  await waitFor(() => expect(screen.getByRole("button", { name: "choose files" })).toBeEnabled());
  await user.upload(screen.getByLabelText("choose files", { selector: "input" }), files);
  return screen.findByRole("region", { name: "Being added" });
}

describe("the documents page", () => {
  it("follows a file from its stages to the list", async () => {
    let proceed: () => void = () => undefined;
    const middle = new Promise<void>((resolve) => {
      proceed = resolve;
    });
    const { user } = openApp("/documents");
    // The stream stands still in the middle until the test has seen it.
    server.use(
      http.get("*/api/v1/jobs/:id/events", async ({ params }) => {
        const job = { id: params.id, state: "running", stage: "embed", progress: 0.4, error: null };
        const encoder = new TextEncoder();
        const send = (data: unknown) =>
          encoder.encode(`event: job\ndata: ${JSON.stringify(data)}\n\n`);
        const body = new ReadableStream<Uint8Array>({
          async start(controller) {
            controller.enqueue(send(job));
            await middle;
            controller.enqueue(send({ ...job, state: "done", stage: null, progress: 1 }));
            controller.close();
          },
        });
        return new Response(body);
      }),
    );
    const list = await upload(user, file("notes.txt"));
    expect(await within(list).findByText("Understanding the passages")).toBeInTheDocument();
    expect(within(list).getByRole("progressbar")).toHaveValue(0.4);
    expect(within(list).getByText("40%")).toBeInTheDocument();
    proceed();
    expect(await within(list).findByText("Ready to be asked")).toBeInTheDocument();
    const stored = screen.getByRole("region", { name: "Stored documents" });
    expect(await within(stored).findByRole("heading", { name: "notes.txt" })).toBeInTheDocument();
  });

  it("shows for each file how it went, and one bad file stops no other", async () => {
    const { user } = openApp("/documents");
    const list = await upload(user, file("broken.pdf"), file("good.txt"));
    expect(await within(list).findByText(/the PDF is encrypted/)).toBeInTheDocument();
    expect(await within(list).findByText("Ready to be asked")).toBeInTheDocument();
    await user.click(within(list).getByRole("button", { name: "Clear finished" }));
    expect(screen.queryByRole("region", { name: "Being added" })).toBeNull();
  });

  it("says why the server refused a file", async () => {
    server.use(
      http.post("*/api/v1/documents", () =>
        problem(413, "payload_too_large", "Payload too large", "the limit is 100 MB per file"),
      ),
    );
    const { user } = openApp("/documents");
    const list = await upload(user, file("huge.bin"));
    expect(
      await within(list).findByText(/Payload too large: the limit is 100 MB/),
    ).toHaveTextContent("req-7f3a");
  });

  it("takes up the progress again after the connection breaks", async () => {
    server.use(
      http.get("*/api/v1/jobs/:id/events", () => eventStream(() => [], 0), { once: true }),
    );
    const { user } = openApp("/documents");
    const list = await upload(user, file("notes.txt"));
    expect(
      await within(list).findByText("Ready to be asked", {}, { timeout: 3000 }),
    ).toBeInTheDocument();
  });

  it("adds to a new collection, which is then shown among the others", async () => {
    const { user } = openApp("/documents");
    await screen.findByRole("option", { name: "office" });
    await user.selectOptions(screen.getByRole("combobox", { name: "Add to" }), "New collection…");
    await user.type(screen.getByLabelText("Name of the new collection"), "office{Enter}");
    expect(await screen.findByRole("alert")).toHaveTextContent("a collection named office exists");
    await user.clear(screen.getByLabelText("Name of the new collection"));
    await user.type(screen.getByLabelText("Name of the new collection"), "契約書{Enter}");
    expect(await screen.findByRole("button", { name: /契約書/ })).toBeInTheDocument();
    await waitFor(() =>
      expect(screen.getByRole("combobox", { name: "Add to" })).toHaveValue("契約書"),
    );
    const list = await upload(user, file("契約.txt"));
    await within(list).findByText("Ready to be asked");
    expect(within(list).getByText("契約書")).toBeInTheDocument();
  });

  it("makes the suggested collection when there is none yet", async () => {
    server.use(...createHandlers({ pace: 0, baseUrl: location.origin, empty: true }));
    const { user } = openApp("/documents");
    const list = await upload(user, file("first.txt"));
    await within(list).findByText("Ready to be asked");
    expect(await screen.findByRole("button", { name: /documents 1/ })).toBeInTheDocument();
  });

  it("says why the suggested collection cannot be made, and adds nothing", async () => {
    server.use(
      http.post("*/api/v1/collections", () =>
        problem(403, "forbidden", "Forbidden", "the role may not make collections"),
      ),
      ...createHandlers({ pace: 0, baseUrl: location.origin, empty: true }),
    );
    const { user } = openApp("/documents");
    await waitFor(() => expect(screen.getByRole("button", { name: "choose files" })).toBeEnabled());
    await user.upload(screen.getByLabelText("choose files", { selector: "input" }), [
      file("a.txt"),
    ]);
    expect(await screen.findByRole("alert")).toHaveTextContent("may not make collections");
    expect(screen.queryByRole("region", { name: "Being added" })).toBeNull();
  });

  it("deletes only after asking", async () => {
    const { user } = openApp("/documents");
    const remove = await screen.findByRole("button", { name: "Delete Remote work policy" });
    await user.click(remove);
    await user.click(screen.getByRole("button", { name: "Cancel" }));
    expect(screen.getByRole("heading", { name: "Remote work policy" })).toBeInTheDocument();
    await user.click(remove);
    const dialog = screen.getByRole("dialog");
    expect(dialog).toHaveTextContent("“Remote work policy” disappears");
    await user.click(within(dialog).getByRole("button", { name: "Delete" }));
    await waitFor(() =>
      expect(screen.queryByRole("heading", { name: "Remote work policy" })).toBeNull(),
    );
  });

  it("shows one collection at a time when asked", async () => {
    const { user } = openApp("/documents");
    await user.click(await screen.findByRole("button", { name: "office 1" }));
    expect(await screen.findByRole("heading", { name: "会議室のきまり" })).toBeInTheDocument();
    expect(screen.queryByRole("heading", { name: "Remote work policy" })).toBeNull();
    expect(screen.getByRole("combobox", { name: "Add to" })).toHaveValue("office");
  });

  it("says that nothing is stored yet", async () => {
    server.resetHandlers(...createHandlers({ pace: 0, baseUrl: location.origin, empty: true }));
    openApp("/documents");
    expect(await screen.findByText("The storehouse is empty")).toBeInTheDocument();
  });
});
