/** The data of requests and replies, as the API names it. Later servers may send more fields. */

import type { components } from "./schemas.js";

export type Schemas = components["schemas"];

export type Accepted = Schemas["MessageAccepted"];
export type Regenerated = Schemas["MessageRegenerated"];
export type Message = Schemas["MessageStatus"];
export type MessageDetails = Schemas["MessageDetails"];
export type MessageState = Schemas["MessageState"];
export type Priority = Schemas["Priority"];
export type Question = Schemas["Question"];
export type Cancellation = Schemas["CancelReply"];
export type RequeuedMessage = Schemas["MessageRequeued"];
export type Answered = Schemas["MessageResumed"];
export type ThreadSummary = Schemas["ThreadSummary"];
export type Thread = Schemas["ThreadDetails"];
export type Agent = Schemas["AgentView"];
export type Ticket = Schemas["TicketIssued"];
export type Health = Schemas["Health"];

/** A text, or content blocks in LangChain's standard form. */
export type Text = NonNullable<Schemas["MessageCreate"]["message"]>;

/** The optional fields of a message, by the names of the API. */
export type MessageFields = Omit<Schemas["MessageCreate"], "message" | "run_at"> & { run_at?: string | Date | null };

/** A message of a batch. */
export type BatchMessage = MessageFields & { message?: Text | null };

/** `value` answers the only question, `values` each question by its id. */
export type Answer = ({ value: unknown } | { values: Record<string, unknown> }) & { alias?: string | null };

/** Values by which lists select. */
export type Metadata = Readonly<Record<string, string | number | boolean | null>>;

type AsTime<Name> = Name extends "since" | "until" ? Date : never;
type OneOrMore<Value> = Value extends (infer One)[] ? One | readonly One[] : Value;

/** The query parameters of a route. Lists find their next page without a cursor, and readers send a header, no ticket. */
export type QueryOf<Name extends `${string}Query` & keyof Schemas> = {
  readonly [Key in Exclude<keyof Schemas[Name], "cursor" | "ticket" | "format" | "count">]?:
    OneOrMore<Schemas[Name][Key]> | AsTime<Key> | undefined;
};

export type MessageQuery = QueryOf<"ListMessagesQuery"> & { readonly metadata?: Metadata | undefined };
export type ThreadQuery = QueryOf<"ListThreadsQuery"> & { readonly metadata?: Metadata | undefined };
export type EventQuery = Omit<QueryOf<"ListMessageEventsQuery">, "after"> & { readonly after?: number | undefined };
export type ThreadMessageQuery = QueryOf<"GetThreadMessagesQuery">;
