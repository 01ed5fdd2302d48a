import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "react-router";
import { useChange } from "../../api/change";
import { api } from "../../api/client";
import { identityKeys, shownOf } from "../../api/identity";
import type { User } from "../../api/types";
import { AskFirst } from "../../components/ConfirmDialog";
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
  const change = useChange(...shownOf(user.name));
  const params = { path: { id: user.id } };
  const setActive = (active: boolean) =>
    change.run(() => api.PATCH("/api/v1/users/{id}", { params, body: { active } }));
  const remove = () =>
    change.run(async () => {
      await api.DELETE("/api/v1/users/{id}", { params });
      // The page of who is gone would ask for them once more.
      await navigate(user.kind === "service" ? paths.services : paths.people);
      client.removeQueries({ queryKey: identityKeys.user(user.name) });
    });
  return (
    <Section title={t.people.leaving} lead={t.people.leavingLead}>
      {change.error !== null && <ErrorNote error={change.error} />}
      <div className={form.line}>
        {user.active ? (
          <AskFirst
            title={t.people.deactivateTitle(user.display_name)}
            text={t.people.deactivateText}
            action={t.people.deactivate}
            onConfirm={() => setActive(false)}
          >
            {(ask) => (
              <button
                type="button"
                className="button quiet"
                disabled={change.isPending}
                onClick={ask}
              >
                {t.people.deactivate}
              </button>
            )}
          </AskFirst>
        ) : (
          <button
            type="button"
            className="button quiet"
            disabled={change.isPending}
            onClick={() => setActive(true)}
          >
            {t.people.activate}
          </button>
        )}
        <AskFirst
          title={t.people.deleteTitle(user.display_name)}
          text={t.people.deleteText(user.name)}
          action={t.people.delete}
          onConfirm={remove}
        >
          {(ask) => (
            <button
              type="button"
              className="button danger"
              disabled={change.isPending}
              onClick={ask}
            >
              {t.people.delete}
            </button>
          )}
        </AskFirst>
      </div>
    </Section>
  );
}
