import { render } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { createMemoryRouter, RouterProvider } from "react-router";
import { signIn, signOut } from "../api/session";
import { Providers } from "../providers";
import { routes } from "../router";
import { API_KEY, operatorAccount } from "./corpus";

type Options = { signedIn?: boolean | "resuming" };

/** Opens the application at a path, with a key unless told otherwise, in English. */
export function openApp(path = "/", { signedIn = true }: Options = {}) {
  localStorage.setItem("kura.language", "en");
  if (signedIn === true) signIn(operatorAccount, API_KEY);
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
