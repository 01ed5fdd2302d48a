import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";
import { api } from "../../api/client";
import { identityKeys, shownOf, useChange } from "../../api/identity";
import type { User } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { ErrorNote } from "../../components/ErrorNote";
import form from "../../components/Form.module.css";
import { Section } from "../../components/Page";
import { useI18n } from "../../i18n";
import { paths } from "./paths";

/** Shuts someone out for a while, or deletes them. */
export function Leaving({ user }: { user: User }) {
  const { t } = useI18n();
  const client = useQueryClient();
  const navigate = useNavigate();
  const [asking, setAsking] = useState<"deactivate" | "delete" | null>(null);
  const activate = useChange(
    (active: boolean) => {
      const params = { path: { id: user.id } };
      return api.PATCH("/api/v1/users/{id}", { params, body: { active } });
    },
    ...shownOf(user.name),
  );
  const remove = useChange(
    async (id: string) => {
      await api.DELETE("/api/v1/users/{id}", { params: { path: { id } } });
      // The page of who is gone would ask for them once more.
      await navigate(user.kind === "service" ? paths.services : paths.people);
      client.removeQueries({ queryKey: identityKeys.user(user.name) });
    },
    identityKeys.users,
    identityKeys.groups,
  );
  const failure = activate.error ?? remove.error;
  const busy = activate.isPending || remove.isPending;
  return (
    <Section title={t.people.leaving} lead={t.people.leavingLead}>
      {failure !== null && <ErrorNote error={failure} />}
      <div className={form.line}>
        {user.active ? (
          <button
            type="button"
            className="button quiet"
            disabled={busy}
            onClick={() => setAsking("deactivate")}
          >
            {t.people.deactivate}
          </button>
        ) : (
          <button
            type="button"
            className="button quiet"
            disabled={busy}
            onClick={() => activate.mutate(true)}
          >
            {t.people.activate}
          </button>
        )}
        <button
          type="button"
          className="button danger"
          disabled={busy}
          onClick={() => setAsking("delete")}
        >
          {t.people.delete}
        </button>
      </div>
      {asking === "deactivate" && (
        <ConfirmDialog
          title={t.people.deactivateTitle(user.display_name)}
          text={t.people.deactivateText}
          action={t.people.deactivate}
          onConfirm={() => activate.mutate(false)}
          onClose={() => setAsking(null)}
        />
      )}
      {asking === "delete" && (
        <ConfirmDialog
          title={t.people.deleteTitle(user.display_name)}
          text={t.people.deleteText(user.name)}
          action={t.people.delete}
          onConfirm={() => remove.mutate(user.id)}
          onClose={() => setAsking(null)}
        />
      )}
    </Section>
  );
}
