/** Every page of the application. */
import { useState } from "react";
import { createBrowserRouter, Link, Outlet, type RouteObject, useRouteError } from "react-router";
import { leave } from "./api/client";
import { currentKey, useAccount, useMay } from "./api/session";
import { ErrorNote } from "./components/ErrorNote";
import { Shell } from "./components/Shell";
import { AccountPage } from "./features/account/AccountPage";
import { AskingProvider } from "./features/chat/asking";
import { ChatPage } from "./features/chat/ChatPage";
import { PastConversations } from "./features/chat/PastConversations";
import { DocumentsPage } from "./features/documents/DocumentsPage";
import { UploadsProvider } from "./features/documents/uploads";
import { GroupPage } from "./features/people/GroupPage";
import { GroupsPage } from "./features/people/GroupsPage";
import { MembersPage } from "./features/people/MembersPage";
import { UserListPage } from "./features/people/UserListPage";
import { UserPage } from "./features/people/UserPage";
import { useI18n } from "./i18n";
import { KeyGate } from "./KeyGate";

export const routes: RouteObject[] = [
  {
    element: <Gated />,
    errorElement: <Broken />,
    children: [
      // One element for both, so that a new conversation keeps its page when it gets its address.
      {
        element: <ChatPage />,
        children: [
          { index: true, element: null },
          { path: "c/:conversation", element: null },
        ],
      },
      { path: "documents", element: <DocumentsPage /> },
      { path: "documents/:collection/members", element: <MembersPage /> },
      { path: "account", element: <AccountPage /> },
      { path: "people", element: <UserListPage key="person" kind="person" /> },
      { path: "people/services", element: <UserListPage key="service" kind="service" /> },
      { path: "people/groups", element: <GroupsPage /> },
      { path: "people/groups/:name", element: <GroupPage /> },
      { path: "people/users/:name", element: <UserPage /> },
      { path: "*", element: <NotFound /> },
    ],
  },
];

export function createRouter() {
  return createBrowserRouter(routes);
}

function Gated() {
  return (
    <KeyGate>
      <AskingProvider>
        <UploadsProvider>
          <Frame />
        </UploadsProvider>
      </AskingProvider>
    </KeyGate>
  );
}

function Frame() {
  const { t } = useI18n();
  const account = useAccount();
  const managesPeople = useMay("read_settings");
  const [failure, setFailure] = useState<unknown>(null);
  return (
    <Shell
      past={<PastConversations />}
      account={account.display_name}
      role={t.account.roles[account.role ?? "operator"]}
      managesPeople={managesPeople}
      signOut={currentKey() === null ? t.settings.signOut : t.settings.forgetKey}
      onSignOut={() => void leave().catch(setFailure)}
    >
      {failure !== null && <ErrorNote error={failure} />}
      <Outlet />
    </Shell>
  );
}

/** The last resort: a fault of the page itself. */
function Broken() {
  const { t } = useI18n();
  return (
    <div className="empty-page">
      <ErrorNote error={useRouteError()} />
      <a href="/">{t.errors.home}</a>
    </div>
  );
}

function NotFound() {
  const { t } = useI18n();
  return (
    <div className="empty-page">
      <h1>{t.errors.notFoundTitle}</h1>
      <p>{t.errors.notFound}</p>
      <Link to="/">{t.errors.home}</Link>
    </div>
  );
}
