import type { components } from "./schema";

type Schemas = components["schemas"];

export type Answer = Schemas["Answer"];
export type Citation = Schemas["Citation"];
export type Collection = Schemas["Collection"];
export type Conversation = Schemas["Conversation"];
export type ConversationDetail = Schemas["Transcript"];
export type Document = Schemas["Document"];
export type Flag = Schemas["Flag"];
export type Hit = Schemas["Hit"];
export type Job = Schemas["Job"];
export type Problem = Schemas["Problem"];
export type Question = Schemas["AskRequest"];
export type Span = Schemas["Span"];
