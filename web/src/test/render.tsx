import { render } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { createMemoryRouter, RouterProvider } from "react-router";
import { signIn, signOut } from "../api/session";
import type { Account } from "../api/types";
import { Providers } from "../providers";
import { routes } from "../router";
import { API_KEY, operatorAccount } from "./corpus";
import { createHandlers } from "./handlers";
import { server } from "./server";

type Options = {
  signedIn?: boolean | "resuming";
  /** Who has come with a session; the holder of the admin key otherwise. */
  account?: Account;
};

/** Opens the application at a path, with a key unless told otherwise, in English. */
export function openApp(path = "/", { signedIn = true, account }: Options = {}) {
  localStorage.setItem("kura.language", "en");
  if (account) {
    server.resetHandlers(...createHandlers({ pace: 0, baseUrl: location.origin, account }));
    signIn(account);
  } else if (signedIn === true) {
    signIn(operatorAccount, API_KEY);
  }
  if (signedIn === false) signOut();
  const router = createMemoryRouter(routes, { initialEntries: [path] });
  const user = userEvent.setup();
  render(
    <Providers>
      <RouterProvider router={router} />
    </Providers>,
  );
  return { router, user };
}
