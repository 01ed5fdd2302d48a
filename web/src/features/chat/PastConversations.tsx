import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { NavLink, useMatch, useNavigate } from "react-router";
import { api } from "../../api/client";
import { conversationsQuery, keys } from "../../api/queries";
import type { Conversation } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import { Icon } from "../../components/Icon";
import { useI18n } from "../../i18n";
import { useAsking } from "./asking";
import styles from "./PastConversations.module.css";

/** The conversations so far, newest first, to open or delete. */
export function PastConversations() {
  const { t } = useI18n();
  const list = useInfiniteQuery(conversationsQuery);
  const [leaving, setLeaving] = useState<Conversation | null>(null);
  const remove = useRemoveConversation();
  const { isRunning } = useAsking();
  if (list.isError) {
    return <ErrorNote error={list.error} onRetry={() => void list.refetch()} />;
  }
  const items = list.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <>
      {list.isSuccess && items.length === 0 && <p className={styles.empty}>{t.past.empty}</p>}
      <ul>
        {items.map((conversation) => (
          <li key={conversation.id} className={styles.item}>
            <NavLink to={`/c/${conversation.id}`} className={styles.link}>
              <span className={styles.title}>{conversation.title || t.past.untitled}</span>
              {isRunning(conversation.id) && (
                <span className={styles.running} role="img" aria-label={t.past.running} />
              )}
            </NavLink>
            <button
              type="button"
              className={styles.remove}
              aria-label={t.past.remove(conversation.title)}
              onClick={() => setLeaving(conversation)}
            >
              <Icon name="trash" />
            </button>
          </li>
        ))}
      </ul>
      {list.hasNextPage && (
        <button type="button" className={styles.more} onClick={() => void list.fetchNextPage()}>
          {t.more}
        </button>
      )}
      {remove.isError && <ErrorNote error={remove.error} />}
      {leaving && (
        <ConfirmDialog
          title={t.past.confirmTitle}
          text={t.past.confirm}
          action={t.past.delete}
          onConfirm={() => remove.mutate(leaving.id)}
          onClose={() => setLeaving(null)}
        />
      )}
    </>
  );
}

function useRemoveConversation() {
  const client = useQueryClient();
  const navigate = useNavigate();
  const shown = useMatch("/c/:conversation")?.params.conversation;
  const { forget } = useAsking();
  return useMutation({
    mutationFn: async (id: string) => {
      forget(id);
      await api.DELETE("/api/v1/conversations/{id}", { params: { path: { id } } });
    },
    onSuccess: async (_, id) => {
      if (id === shown) await navigate("/");
      client.removeQueries({ queryKey: keys.conversation(id) });
      await client.invalidateQueries({ queryKey: keys.conversations });
    },
  });
}
