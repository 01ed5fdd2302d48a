/** Every page of the application. */
import { createBrowserRouter, Link, Outlet, type RouteObject, useRouteError } from "react-router";
import { signOut } from "./api/session";
import { ErrorNote } from "./components/ErrorNote";
import { Shell } from "./components/Shell";
import { AskingProvider } from "./features/chat/asking";
import { ChatPage } from "./features/chat/ChatPage";
import { PastConversations } from "./features/chat/PastConversations";
import { DocumentsPage } from "./features/documents/DocumentsPage";
import { UploadsProvider } from "./features/documents/uploads";
import { useI18n } from "./i18n";
import { KeyGate } from "./KeyGate";

export const routes: RouteObject[] = [
  {
    element: <Frame />,
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
      { path: "*", element: <NotFound /> },
    ],
  },
];

export function createRouter() {
  return createBrowserRouter(routes);
}

function Frame() {
  return (
    <KeyGate>
      <AskingProvider>
        <UploadsProvider>
          <Shell past={<PastConversations />} onSignOut={() => signOut()}>
            <Outlet />
          </Shell>
        </UploadsProvider>
      </AskingProvider>
    </KeyGate>
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
