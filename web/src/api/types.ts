import type { components } from "./schema";

type Schemas = components["schemas"];

export type Account = Schemas["CurrentSession"];
export type ApiKey = Schemas["ApiKey"];
export type Answer = Schemas["Answer"];
export type Citation = Schemas["Citation"];
export type Collection = Schemas["Collection"];
export type CollectionMember = Schemas["CollectionMember"];
export type Conversation = Schemas["Conversation"];
export type ConversationDetail = Schemas["ConversationDetail"];
export type Document = Schemas["Document"];
export type Feedback = Schemas["Feedback"];
export type Flag = Schemas["Flag"];
export type Group = Schemas["Group"];
export type Hit = Schemas["Hit"];
export type Job = Schemas["Job"];
export type MadeApiKey = Schemas["MadeApiKey"];
export type MemberRole = Schemas["MemberRole"];
export type NewApiKey = Schemas["NewApiKey"];
export type NewFeedback = Schemas["NewFeedback"];
export type NewUser = Schemas["NewUser"];
export type Permission = Schemas["Permission"];
export type Problem = Schemas["Problem"];
export type Question = Schemas["Question"];
export type SingleSignOn = Schemas["SingleSignOn"];
export type Span = Schemas["Span"];
export type TotpEnrollment = Schemas["TotpEnrollment"];
export type User = Schemas["User"];
export type UserChange = Schemas["UserChange"];
export type UserKind = Schemas["UserKind"];
export type UserRole = Schemas["UserRole"];
export type UserSession = Schemas["UserSession"];

/** What it takes to name a document. */
export type FoundDocument = Pick<Document, "id" | "title" | "collection" | "source">;
