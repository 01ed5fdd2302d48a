import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useId, useState } from "react";
import { api, body } from "../../api/client";
import { conversationQuery, documentQuery, foundDocumentsQuery } from "../../api/queries";
import type { Answer, Feedback, FoundDocument, NewFeedback } from "../../api/types";
import { ErrorNote } from "../../components/ErrorNote";
import { Icon } from "../../components/Icon";
import { useI18n } from "../../i18n";
import styles from "./Feedback.module.css";

type Props = { question: string; answer: Answer; given: Feedback | null };

/** What the person thinks of an answer: a thumb, and a form to say what would have been right. */
export function FeedbackBar({ question, answer, given }: Props) {
  const { t } = useI18n();
  const [open, setOpen] = useState(false);
  const { put, remove } = useFeedback(answer);
  const formId = useId();
  const rate = (rating: Feedback["rating"]) => {
    setOpen(rating === "down");
    if (given?.rating !== rating) put.mutate({ ...contentOf(given), rating });
  };
  const failure = put.error ?? remove.error;
  return (
    <section className={styles.feedback} aria-label={t.feedback.title}>
      <div className={styles.row}>
        <span className={styles.label}>{given ? t.feedback.thanks : t.feedback.ask}</span>
        {(["up", "down"] as const).map((rating) => (
          <button
            key={rating}
            type="button"
            className={`icon-button ${styles.thumb}`}
            aria-label={t.feedback[rating]}
            title={t.feedback[rating]}
            aria-pressed={given?.rating === rating}
            disabled={put.isPending}
            onClick={() => rate(rating)}
          >
            <Icon name={rating === "up" ? "thumbUp" : "thumbDown"} />
          </button>
        ))}
        {given && (
          <button
            type="button"
            className={styles.details}
            aria-expanded={open}
            aria-controls={open ? formId : undefined}
            onClick={() => setOpen(!open)}
          >
            {open ? t.feedback.less : hasDetails(given) ? t.feedback.edit : t.feedback.more}
          </button>
        )}
      </div>
      {failure && <ErrorNote error={failure} heading={t.feedback.failed} />}
      {given && open && (
        <FeedbackForm
          id={formId}
          question={question}
          given={given}
          saving={put.isPending}
          onSave={(content) => put.mutate(content, { onSuccess: () => setOpen(false) })}
          onRemove={() => remove.mutate(undefined, { onSuccess: () => setOpen(false) })}
        />
      )}
    </section>
  );
}

type FormProps = {
  id: string;
  question: string;
  given: Feedback;
  saving: boolean;
  onSave: (content: NewFeedback) => void;
  onRemove: () => void;
};

function FeedbackForm({ id, question, given, saving, onSave, onRemove }: FormProps) {
  const { t } = useI18n();
  const [comment, setComment] = useState(given.comment ?? "");
  const [correction, setCorrection] = useState(given.corrected_answer ?? "");
  const picker = useDocumentPicker(question, given.document);
  const save = (event: FormEvent) => {
    event.preventDefault();
    const document = picker.picked();
    if (document === undefined) return;
    onSave({
      rating: given.rating,
      ...(comment.trim() ? { comment: comment.trim() } : {}),
      ...(correction.trim() ? { corrected_answer: correction.trim() } : {}),
      ...(document === null ? {} : { document }),
    });
  };
  const ids = { comment: useId(), correction: useId(), document: useId(), list: useId() };
  const hint = useId();
  return (
    <form id={id} className={styles.form} onSubmit={save}>
      <label htmlFor={ids.correction}>{t.feedback.correction}</label>
      <textarea
        id={ids.correction}
        className="input"
        rows={3}
        value={correction}
        onChange={(event) => setCorrection(event.target.value)}
      />
      <label htmlFor={ids.document}>{t.feedback.document}</label>
      <input
        id={ids.document}
        className="input"
        list={ids.list}
        autoComplete="off"
        placeholder={t.feedback.documentPlaceholder}
        value={picker.text}
        aria-invalid={picker.unknown}
        aria-describedby={picker.unknown ? hint : undefined}
        onChange={(event) => picker.setText(event.target.value)}
      />
      <datalist id={ids.list}>
        {picker.options.map((option) => (
          <option key={option.id} value={nameOf(option)} />
        ))}
      </datalist>
      {picker.unknown && (
        <p id={hint} className={styles.unknown} role="alert">
          {t.feedback.unknownDocument}
        </p>
      )}
      <label htmlFor={ids.comment}>{t.feedback.comment}</label>
      <textarea
        id={ids.comment}
        className="input"
        rows={2}
        value={comment}
        onChange={(event) => setComment(event.target.value)}
      />
      <p className={styles.hint}>{t.feedback.use}</p>
      <div className={styles.actions}>
        <button type="submit" className="button" disabled={saving}>
          {t.feedback.save}
        </button>
        <button type="button" className="button quiet" onClick={onRemove}>
          {t.feedback.remove}
        </button>
      </div>
    </form>
  );
}

/** A document found by its name or by what it says; the page cannot list them all. */
function useDocumentPicker(question: string, given: string | null) {
  const [text, setText] = useState<string | null>(null);
  const [unknown, setUnknown] = useState(false);
  const [known, setKnown] = useState<Record<string, string>>({});
  const before = useQuery({ ...documentQuery(given ?? ""), enabled: given !== null });
  const shown = text ?? (before.data ? nameOf(before.data) : "");
  const sought = useSettled(shown.trim() || question);
  const found = useQuery(foundDocumentsQuery(sought));
  // What was once found stays known, although choosing it changes what is searched for.
  useEffect(() => {
    const options = [...(found.data ?? []), ...(before.data ? [before.data] : [])];
    setKnown((names) => ({
      ...names,
      ...Object.fromEntries(options.map((option) => [nameOf(option), option.id])),
    }));
  }, [found.data, before.data]);
  return {
    text: shown,
    unknown,
    options: found.data ?? [],
    setText: (next: string) => {
      setText(next);
      setUnknown(false);
    },
    /** The id of the document; `null` when none is named, `undefined` when there is none of that name. */
    picked: (): string | null | undefined => {
      // What was named before and is gone since stays as it is, until another is named.
      if (text === null) return given;
      if (shown.trim() === "") return null;
      setUnknown(known[shown] === undefined);
      return known[shown];
    },
  };
}

/** A value that has not changed for a moment, so that not every letter is a search. */
function useSettled(value: string): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), 250);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

function useFeedback(answer: Answer) {
  const client = useQueryClient();
  const path = { id: answer.id };
  const keep = (feedback: Feedback | null) =>
    client.setQueryData(
      conversationQuery(answer.conversation).queryKey,
      (known) =>
        known && {
          ...known,
          messages: known.messages.map((message) =>
            message.answer?.id === answer.id ? { ...message, feedback } : message,
          ),
        },
    );
  const put = useMutation({
    mutationFn: async (content: NewFeedback) =>
      body(await api.PUT("/api/v1/answers/{id}/feedback", { params: { path }, body: content })),
    onSuccess: keep,
  });
  const remove = useMutation({
    mutationFn: async () => {
      await api.DELETE("/api/v1/answers/{id}/feedback", { params: { path } });
    },
    onSuccess: () => keep(null),
  });
  return { put, remove };
}

function contentOf(given: Feedback | null): Omit<NewFeedback, "rating"> {
  return {
    ...(given?.comment ? { comment: given.comment } : {}),
    ...(given?.corrected_answer ? { corrected_answer: given.corrected_answer } : {}),
    ...(given?.document ? { document: given.document } : {}),
  };
}

function hasDetails({ comment, corrected_answer, document }: Feedback): boolean {
  return comment !== null || corrected_answer !== null || document !== null;
}

function nameOf({ title, collection, source }: FoundDocument): string {
  const place = `${collection}/${source}`;
  return title && title !== source ? `${title} — ${place}` : place;
}
