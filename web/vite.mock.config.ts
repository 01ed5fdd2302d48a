import { mergeConfig } from "vite";
import { mockServer } from "./src/test/mock-server.ts";
import base from "./vite.config.ts";

/** The page with an imitation server, for work on the looks; never part of a production build. */
export default mergeConfig(base, { plugins: [mockServer()] });
