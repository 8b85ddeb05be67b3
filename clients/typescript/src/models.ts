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
export type Cancellation = Schemas["MessageCancelled"] | Schemas["CancelReply"];
export type Cancellations = Schemas["MessagesCancelled"];
export type Answered = Schemas["MessageResumed"];
export type DeadLetter = Schemas["DeadLetter"];
export type DeadLetterGroup = Schemas["DeadLetterGroup"];
export type Requeued = Schemas["MessagesRequeued"];
export type Purged = Schemas["MessagesPurged"];
export type ThreadSummary = Schemas["ThreadSummary"];
export type Thread = Schemas["ThreadDetails"];
export type ThreadState = Schemas["ThreadState"];
export type StateUpdated = Schemas["StateUpdated"];
export type QueueState = Schemas["QueueState"];
export type QueuePaused = Schemas["QueuePaused"];
export type Delivery = Schemas["DeliveryView"];
export type Agent = Schemas["AgentView"];
export type UsageRow = Schemas["UsageRow"];
export type Token = Schemas["TokenIssued"];
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

/** Failed messages by their ids, or `expected_count` of them by a filter. */
export type DeadLetterSelection =
  { message_ids: readonly string[] } | { filter: Schemas["DeadLetterFilter"]; expected_count: number };

/** Values by which lists select. */
export type Metadata = Readonly<Record<string, string | number | boolean | null>>;

interface Paged {
  /** The number of entries of a page. */
  readonly limit?: number | undefined;
}

export interface MessageQuery extends Paged {
  readonly state?: MessageState | undefined;
  readonly thread_id?: string | undefined;
  readonly agent?: string | undefined;
  readonly priority?: Priority | undefined;
  readonly error_code?: string | undefined;
  readonly subject?: string | undefined;
  readonly metadata?: Metadata | undefined;
}

export interface EventQuery extends Paged {
  readonly after?: number | undefined;
}

export interface DeadLetterQuery extends Paged {
  readonly thread_id?: string | undefined;
  readonly agent?: string | undefined;
  readonly priority?: Priority | undefined;
  readonly error_code?: string | undefined;
  readonly fingerprint?: string | undefined;
}

export interface DeliveryQuery extends Paged {
  readonly state?: Schemas["DeliveryState"] | undefined;
  readonly event?: Schemas["WebhookEvent"] | undefined;
  readonly message_id?: string | undefined;
}

export interface ThreadQuery extends Paged {
  readonly status?: Schemas["ThreadStatus"] | undefined;
  readonly subject?: string | undefined;
  readonly metadata?: Metadata | undefined;
  readonly sort_by?: Schemas["ThreadSort"] | undefined;
  readonly sort_order?: "asc" | "desc" | undefined;
}

export interface StateQuery {
  readonly agent?: string | undefined;
  readonly checkpoint_id?: string | undefined;
  readonly subgraphs?: boolean | undefined;
}

export interface HistoryQuery extends Paged {
  readonly agent?: string | undefined;
}

export interface UsageQuery extends Paged {
  readonly since?: string | undefined;
  readonly until?: string | undefined;
  readonly group_by?: readonly Schemas["UsageGroup"][] | undefined;
  readonly agent?: string | undefined;
  readonly model?: string | undefined;
  readonly subject?: string | undefined;
}
