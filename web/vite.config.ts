import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** Where `npm run dev` finds a running `kura serve`. */
const server = process.env.KURA_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  build: {
    // The page runs under `default-src 'self'`: nothing may become a data: URL.
    assetsInlineLimit: 0,
    // `light-dark()` and `field-sizing` as they are: browsers of 2024 and later.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // One file is right here: it is served from the same machine, whole, to one person.
    chunkSizeWarningLimit: 900,
  },
  server: { proxy: { "/api": server } },
  test: {
    environment: "jsdom",
    setupFiles: ["./src/test/setup.ts"],
    css: { modules: { classNameStrategy: "non-scoped" } },
    restoreMocks: true,
    // A page with several forms takes its time in jsdom, the more where other work goes on.
    testTimeout: 30_000,
  },
});
