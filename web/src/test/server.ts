import { setupServer } from "msw/node";

/** The imitation server of the unit tests; `setup.ts` fills it before each. */
export const server = setupServer();
