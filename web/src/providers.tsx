import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { ApiError } from "./api/errors";
import { I18nProvider } from "./i18n";

/** Everything a page needs around it. */
export function Providers({ children }: { children: ReactNode }) {
  const [client] = useState(createQueryClient);
  return (
    <QueryClientProvider client={client}>
      <I18nProvider>{children}</I18nProvider>
    </QueryClientProvider>
  );
}

function createQueryClient() {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 10_000,
        // A refusal will not change by asking again; a lost connection may.
        retry: (count, error) => !(error instanceof ApiError && error.status < 500) && count < 2,
        networkMode: "always",
      },
      mutations: { networkMode: "always" },
    },
  });
}
