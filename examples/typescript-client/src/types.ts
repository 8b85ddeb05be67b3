/** What travels between a client and the Agent Queue System, under the names used on the wire. */

export type Priority = "high" | "normal" | "low";

export type MessageState =
  "queued" | "processing" | "completed" | "failed" | "cancelled" | "interrupted";

/** RFC 3339, UTC, with milliseconds: `2024-01-15T10:30:00.000Z`. */
export type Timestamp = string;

// ---------------------------------------------------------------- requests and replies

/** What a webhook can be told of. */
export type WebhookEvent = "completed" | "failed" | "cancelled" | "interrupted";

export interface SubmitRequest {
  message: string;
  priority?: Priority;
  thread_id?: string;
  /** The name of one of the server's agents; its first one by default. */
  agent?: string;
  /** What to do when the thread has unfinished messages. All but `enqueue` need a `thread_id`. */
  if_busy?: "enqueue" | "reject" | "interrupt" | "rollback";
  /** Not to be run before this time, or before so many seconds from now. */
  run_at?: Timestamp;
  delay_seconds?: number;
  max_attempts?: number;
  /** Seconds that one attempt may take. */
  timeout?: number;
  webhook_url?: string;
  webhook_events?: WebhookEvent[];
}

export interface WaitingReason {
  code: string;
  message: string;
}

export interface SubmitReply {
  message_id: string;
  state: MessageState;
  queue_position: number | null;
  created_at: Timestamp;
  thread_id: string | null;
  agent: string;
  estimated_start_at: Timestamp | null;
  waiting_reason: WaitingReason | null;
}

/** The accepted messages, in the order of the requests. */
export interface BatchReply {
  messages: SubmitReply[];
}

/** A message that is queued again, as if it were submitted now. */
export interface RetryReply extends SubmitReply {
  message: string;
}

/** What an agent asks a human; `value` is whatever the agent gave. */
export interface Question {
  id: string;
  value: unknown;
}

/** `value` answers the only question, `values` each question by its id. */
export type Answer = { value: unknown } | { values: Record<string, unknown> };

export interface ResumeReply {
  message_id: string;
  state: MessageState;
  thread_id: string | null;
}

export interface MessageStatus {
  message_id: string;
  state: MessageState;
  user_message: string;
  priority: Priority;
  created_at: Timestamp;
  started_at: Timestamp | null;
  completed_at: Timestamp | null;
  result: string | null;
  error: string | null;
  error_code: string | null;
  queue_position: number | null;
  thread_id: string | null;
  agent: string;
  attempt: number;
  /** What the agent asks, while the state is `interrupted`. */
  interrupts: Question[];
  interrupt_expires_at: Timestamp | null;
}

export interface CancelReply {
  message: string;
  message_id: string;
}

/** `cancelled`: it has ended. `processing`: it is being stopped, and will end as cancelled. */
export interface StopReply extends CancelReply {
  state: "cancelled" | "processing";
}

export interface QueuedMessage {
  id: string;
  priority: Priority;
  created_at: Timestamp;
  user_message: string;
}

export interface ProcessingMessage {
  id: string;
  priority: Priority;
  started_at: Timestamp;
  user_message: string;
}

export interface QueueSummary {
  total_queued: number;
  total_processing: number;
  total_completed: number;
  total_failed: number;
  total_cancelled: number;
  queued_messages: QueuedMessage[];
  current_processing: ProcessingMessage | null;
}

/** Only `status` is relied upon; a server may say more about its parts. */
export interface Health {
  status: string;
  [detail: string]: unknown;
}

export interface ThreadSummary {
  thread_id: string;
  message_count: number;
  created_at: Timestamp;
  last_activity: Timestamp;
  last_message_preview: string;
}

export type StateCounts = Record<Exclude<MessageState, "interrupted">, number> & {
  interrupted?: number;
};

export interface ThreadMetadata {
  thread_id: string;
  message_count: number;
  created_at: Timestamp;
  last_activity: Timestamp;
  states: StateCounts;
}

export interface ThreadMessages {
  thread_id: string;
  total_messages: number;
  messages: MessageStatus[];
}

/** The cursor of the page after this one, or null on the last page. */
export interface Paged {
  next: string | null;
}

export interface ThreadPage extends Paged {
  threads: ThreadSummary[];
}

/** An error body of the type `application/problem+json` (RFC 9457). */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  /** Stays the same between releases: the member to branch on. */
  code: string;
  errors?: unknown[];
}

// ---------------------------------------------------------------- stream events

interface Framed<Name extends string, Data> {
  readonly event: Name;
  /** Where to resume from; live-only events such as `waiting` have none. */
  readonly id?: string;
  readonly data: Data;
}

/** Not its turn yet. Sent again whenever the position changes. */
export type WaitingEvent = Framed<
  "waiting",
  { state: MessageState; position: number; message: string; [extra: string]: unknown }
>;

/** A worker has taken the message. */
export type ProcessingEvent = Framed<"processing", { state: "processing"; attempt: number }>;

/** A piece of the answer. `index` counts from 0 within an attempt. */
export type ChunkEvent = Framed<"chunk", TextChunk | ToolChunk | DiscardChunk>;

interface Chunk {
  index: number;
  /** The id of the message in the agent's memory that the chunk belongs to. */
  message?: string;
  /** The node of the graph that made it. */
  node?: string;
  /** The nodes around it that hold subgraphs, outermost first. */
  path?: string[];
}

export interface TextChunk extends Chunk {
  type: "content" | "reasoning";
  chunk: string;
}

/** What the agent asked of a tool, or got from it: any JSON value, whole. */
export interface ToolChunk extends Chunk {
  type: "tool_call" | "tool_result";
  chunk: unknown;
}

/** The text of `message` is not the answer: forget it, or show it as a step if it was `kept` in the agent's memory. */
export interface DiscardChunk extends Chunk {
  type: "discard";
  chunk: "";
  message: string;
  kept: boolean;
  /** The id of the event with which the text began. */
  discard_from: number;
}

/** What a message asked to see by its `events`; the content of one of more than 1 MiB is null. */
interface Shown {
  path?: string[];
  omitted?: number;
}

/** What a node or a tool of the agent wrote for its clients: any JSON value. */
export type CustomEvent = Framed<"custom", Shown & { data: unknown }>;

export type NodeEvent = Framed<"node", Shown & { state: "start" | "end"; node: string; task: string }>;

/** The state of the graph, before the first step and after each. */
export type ValuesEvent = Framed<"values", Shown & { values: unknown }>;

/** What nodes wrote to the state. */
export type UpdatesEvent = Framed<"updates", Shown & { updates: Record<string, unknown> | null }>;

/** The tokens of an attempt by model, at its end. Unasked, from providers that report them. */
export type UsageEvent = Framed<"usage", { models: Record<string, Record<string, unknown>> }>;

/** The attempt failed and another follows: drop what came under the id `discard_from` and after. */
export type RetryEvent = Framed<
  "retry",
  { attempt: number; error: string; next_at: Timestamp; discard_from: number }
>;

/** No live worker has the version of the agent that began the message: another goes on with it, any if `to` is null. */
export type VersionEvent = Framed<
  "version",
  { state: "queued"; from: string; to: string | null }
>;

/** The log no longer reaches back to the id asked for: drop everything, start from `text`. */
export type ResetEvent = Framed<"reset", { state?: MessageState; text?: string }>;

/** The agent asked a human and rests until it is answered. Not an end. */
export type InterruptedEvent = Framed<
  "interrupted",
  { state: "interrupted"; attempt: number; interrupts: Question[]; expires_at: Timestamp }
>;

/** The answer came. The step that asked runs again: drop what came under the id `discard_from` and after. */
export type ResumedEvent = Framed<"resumed", { state: "queued"; discard_from: number }>;

export type DoneEvent = Framed<
  "done",
  { state: "completed"; result: string; completed_at: Timestamp; output?: unknown }
>;

export type ErrorEvent = Framed<
  "error",
  { state: "failed"; error: string; code: string; completed_at?: Timestamp }
>;

export type CancelledEvent = Framed<"cancelled", { state: "cancelled"; completed_at?: Timestamp }>;

/** Exactly one of these ends every stream. */
export type TerminalEvent = DoneEvent | ErrorEvent | CancelledEvent;

export type StreamEvent =
  | WaitingEvent
  | ProcessingEvent
  | ChunkEvent
  | CustomEvent
  | NodeEvent
  | ValuesEvent
  | UpdatesEvent
  | UsageEvent
  | RetryEvent
  | ResetEvent
  | InterruptedEvent
  | ResumedEvent
  | VersionEvent
  | TerminalEvent;

export function isTerminal(event: StreamEvent): event is TerminalEvent {
  return event.event === "done" || event.event === "error" || event.event === "cancelled";
}
