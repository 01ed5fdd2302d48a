/** Every page of the application. */
import { createBrowserRouter, Link, Outlet, type RouteObject } from "react-router";
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
    errorElement: <ErrorNote error={null} />,
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
