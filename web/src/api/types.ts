import type { components } from "./schema";

type Schemas = components["schemas"];

export type Account = Schemas["CurrentSession"];
export type Answer = Schemas["Answer"];
export type Citation = Schemas["Citation"];
export type Collection = Schemas["Collection"];
export type Conversation = Schemas["Conversation"];
export type ConversationDetail = Schemas["ConversationDetail"];
export type Document = Schemas["Document"];
export type Feedback = Schemas["Feedback"];
export type Flag = Schemas["Flag"];
export type Hit = Schemas["Hit"];
export type Job = Schemas["Job"];
export type NewFeedback = Schemas["NewFeedback"];
export type Permission = Schemas["Permission"];
export type Problem = Schemas["Problem"];
export type Question = Schemas["Question"];
export type SingleSignOn = Schemas["SingleSignOn"];
export type Span = Schemas["Span"];

/** What it takes to name a document. */
export type FoundDocument = Pick<Document, "id" | "title" | "collection" | "source">;
