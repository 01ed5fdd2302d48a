import { describe, expect, it } from "vitest";
import { createLimit } from "./limit";

describe("a limit", () => {
  it("runs in order and never more than it may, whatever fails", async () => {
    const limit = createLimit(2);
    let running = 0;
    let most = 0;
    const order: number[] = [];
    const task = (n: number) => async () => {
      order.push(n);
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, n % 2));
      running--;
      if (n === 1) throw new Error("one fails");
    };
    const all = [0, 1, 2, 3, 4].map((n) => limit(task(n)));
    const results = await Promise.allSettled(all);
    expect(results.map(({ status }) => status === "fulfilled")).toEqual([
      true,
      false,
      true,
      true,
      true,
    ]);
    expect(order).toEqual([0, 1, 2, 3, 4]);
    expect(most).toBe(2);
  });
});
