import { describe, expect, it } from "vitest";
import { generatePassword, passwordFault } from "./password";

describe("a new password", () => {
  it("has twelve characters, counted as people do, and is typed the same twice", () => {
    expect(passwordFault("elevenchars", "elevenchars")).toBe("short");
    expect(passwordFault("twelve chars", "twelve char")).toBe("differs");
    expect(passwordFault("twelve chars", "twelve chars")).toBeNull();
    expect(passwordFault("𠮷".repeat(11), "𠮷".repeat(11))).toBe("short");
    expect(passwordFault("𠮷".repeat(12), "𠮷".repeat(12))).toBeNull();
  });

  it("can be made: long, another each time, of characters that nobody mistakes", () => {
    const made = Array.from({ length: 200 }, generatePassword);
    expect(new Set(made).size).toBe(200);
    for (const password of made) {
      expect(password).toMatch(/^[a-km-np-z2-9]{5}(-[a-km-np-z2-9]{5}){3}$/);
      expect(passwordFault(password, password)).toBeNull();
    }
    // Each of the 32 characters comes up.
    expect(new Set(made.join("").replaceAll("-", "")).size).toBe(32);
  });
});
