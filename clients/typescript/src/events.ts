/** The events of a message, as a union to `switch` on by `type`. */

import type { Question, Schemas } from "./models.js";

interface Base<Type extends string, Data> {
  readonly type: Type;
  /** The event's number in the message's log, null for an event that the log does not store. */
  readonly id: number | null;
  /** All that was sent. */
  readonly data: Data;
}

interface Chunk<Type extends string, Data> extends Base<Type, Data> {
  readonly index: number;
  /** The id of the AI message that the chunk belongs to, null where not known. */
  readonly message: string | null;
  /** The node of the graph, null where not known. */
  readonly node: string | null;
  /** The nodes around it that hold subgraphs, outermost first. */
  readonly path: readonly string[];
}

/** The message is queued. `position` is the number of messages before it, `eta` the estimated start. */
export interface Waiting extends Base<"waiting", Schemas["WaitingData"]> {
  readonly position: number | null;
  readonly eta: Date | null;
  readonly reasonCode: string | null;
  readonly reason: string | null;
}

/** A worker has started an attempt. */
export interface Processing extends Base<"processing", Schemas["ProcessingData"]> {
  readonly attempt: number;
}

/** Another version of the agent goes on with the message; `to` is null for any version. */
export interface VersionChanged extends Base<"versionChanged", Schemas["VersionData"]> {
  readonly previous: string;
  readonly to: string | null;
}

/** A piece of the answer's text. */
export interface Content extends Chunk<"content", Schemas["TextChunk"]> {
  readonly text: string;
}

/** A piece of the model's reasoning. */
export interface Reasoning extends Chunk<"reasoning", Schemas["TextChunk"]> {
  readonly text: string;
}

/** The model calls a tool. */
export interface ToolCall extends Chunk<"toolCall", Schemas["ToolCallChunk"]> {
  readonly callId: string | null;
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
}

/** A tool has answered. */
export interface ToolResult extends Chunk<"toolResult", Schemas["ToolResultChunk"]> {
  readonly callId: string | null;
  readonly name: string | null;
  readonly content: string;
  readonly status: string;
}

/** The text of `message` is not the answer. With `kept`, it stays in the agent's memory as a step on the way. */
export interface Discard extends Chunk<"discard", Schemas["DiscardChunk"]> {
  readonly kept: boolean;
  readonly discardFrom: number;
}

/** A value that the agent's code wrote. */
export interface Custom extends Base<"custom", Schemas["CustomData"]> {
  readonly value: unknown;
}

/** A node of the graph has started or ended. */
export interface Node extends Base<"node", Schemas["NodeData"]> {
  readonly state: Schemas["NodeData"]["state"];
  readonly node: string;
  readonly task: string;
}

/** An event of the graph, named by `kind`. `value` is null if it was larger than what the log stores. */
export interface GraphEvent extends Base<"graphEvent", Readonly<Record<string, unknown>>> {
  readonly kind: "values" | "updates" | "messages" | "tasks" | "checkpoints" | "debug";
  readonly value: unknown;
}

/** The usage of the model calls of a step, by model. */
export interface Usage extends Base<"usage", Schemas["UsageData"]> {
  readonly models: Schemas["UsageData"]["models"];
}

/** An attempt ended without a result. Forget the events from the id `discardFrom` on. */
export interface Retry extends Base<"retry", Schemas["RetryData"]> {
  readonly attempt: number;
  readonly error: string;
  readonly nextAt: Date | null;
  readonly discardFrom: number;
}

/** The agent asks a human. */
export interface Interrupted extends Base<"interrupted", Schemas["InterruptedData"]> {
  readonly questions: readonly Question[];
  readonly expiresAt: Date | null;
}

/** The answer of a human came. Forget the events from the id `discardFrom` on. */
export interface Resumed extends Base<"resumed", Schemas["ResumedData"]> {
  readonly discardFrom: number;
}

/** Forget everything that was shown; `text` is the answer so far. */
export interface Reset extends Base<"reset", Partial<Schemas["ResetData"]>> {
  readonly text: string;
}

/** The message has completed. `output` is null if there is none besides the text. */
export interface Done extends Base<"done", Schemas["DoneData"]> {
  readonly text: string;
  readonly output: unknown;
  readonly completedAt: Date | null;
}

/** The message has failed. */
export interface Failed extends Base<"failed", Schemas["ErrorData"]> {
  readonly error: string;
  readonly code: string;
  readonly completedAt: Date | null;
}

/** The message was cancelled. */
export interface Cancelled extends Base<"cancelled", Schemas["CancelledData"]> {
  readonly completedAt: Date | null;
}

/** An event of a later server. Ignore it. */
export interface Unknown extends Base<"unknown", Readonly<Record<string, unknown>>> {
  readonly kind: string;
}

export type TerminalEvent = Done | Failed | Cancelled;

export type StreamEvent =
  | Waiting
  | Processing
  | VersionChanged
  | Content
  | Reasoning
  | ToolCall
  | ToolResult
  | Discard
  | Custom
  | Node
  | GraphEvent
  | Usage
  | Retry
  | Interrupted
  | Resumed
  | Reset
  | TerminalEvent
  | Unknown;

/** An event of the log. `at` is when it was stored, null if the server does not tell. */
export type StoredEvent = StreamEvent & { readonly at: Date | null };

/** Return whether an event is the last one of a message. */
export function isTerminal(event: StreamEvent): event is TerminalEvent {
  return event.type === "done" || event.type === "failed" || event.type === "cancelled";
}

type Fields = Record<string, unknown>;

function text(value: unknown): string {
  if (typeof value !== "string") throw new TypeError("expected a text");
  return value;
}

function number(value: unknown): number {
  if (typeof value !== "number") throw new TypeError("expected a number");
  return value;
}

function object(value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new TypeError("expected an object");
  return value as Fields;
}

function list(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new TypeError("expected a list");
  return value;
}

function time(value: unknown): Date | null {
  if (value === null || value === undefined) return null;
  const found = new Date(text(value));
  if (Number.isNaN(found.getTime())) throw new TypeError("expected a time");
  return found;
}

function end(data: Fields): Date | null {
  return time(data["completed_at"]);
}

function readWaiting(data: Fields): Fields {
  const reason = object(data["waiting_reason"] ?? {});
  return {
    id: null,
    position: data["position"] ?? null,
    eta: time(data["estimated_start_at"]),
    reasonCode: reason["code"] ?? null,
    reason: reason["message"] ?? null,
  };
}

function readChunk(data: Fields): Fields {
  const chunk = {
    index: number(data["index"]),
    message: data["message"] ?? null,
    node: data["node"] ?? null,
    path: list(data["path"] ?? []),
  };
  const piece = data["chunk"];
  switch (data["type"]) {
    case "content":
    case "reasoning":
      return { ...chunk, type: data["type"], text: text(piece) };
    case "tool_call": {
      const { id = null, name, args } = object(piece);
      return { ...chunk, type: "toolCall", callId: id, name: text(name), args: object(args) };
    }
    case "tool_result": {
      const { id = null, name = null, content, status } = object(piece);
      return { ...chunk, type: "toolResult", callId: id, name, content: text(content), status: text(status) };
    }
    case "discard":
      return { ...chunk, type: "discard", kept: data["kept"] === true, discardFrom: number(data["discard_from"]) };
    default:
      return { type: "unknown", kind: `chunk.${String(data["type"])}` };
  }
}

/** The fields of each kind of event besides `type`, `id` and `data`. `type` is the kind, unless it is given here. */
const READERS = new Map<string, (data: Fields) => Fields>([
  ["waiting", readWaiting],
  ["processing", (data) => ({ attempt: number(data["attempt"]) })],
  ["version", (data) => ({ type: "versionChanged", previous: text(data["from"]), to: data["to"] ?? null })],
  ["chunk", readChunk],
  ["custom", (data) => ({ value: data["data"] ?? null })],
  ["node", (data) => ({ state: text(data["state"]), node: text(data["node"]), task: text(data["task"]) })],
  ["usage", (data) => ({ models: object(data["models"]) })],
  [
    "retry",
    (data) => ({
      attempt: number(data["attempt"]),
      error: text(data["error"]),
      nextAt: time(data["next_at"]),
      discardFrom: number(data["discard_from"]),
    }),
  ],
  ["interrupted", (data) => ({ questions: list(data["interrupts"]), expiresAt: time(data["expires_at"]) })],
  ["resumed", (data) => ({ discardFrom: number(data["discard_from"]) })],
  ["reset", (data) => ({ id: null, text: text(data["text"]) })],
  ["done", (data) => ({ text: text(data["result"]), output: data["output"] ?? null, completedAt: end(data) })],
  [
    "error",
    (data) => ({ type: "failed", error: text(data["error"]), code: text(data["code"]), completedAt: end(data) }),
  ],
  ["cancelled", (data) => ({ completedAt: end(data) })],
]);

for (const kind of ["values", "updates", "messages", "tasks", "checkpoints", "debug"]) {
  READERS.set(kind, (data) => ({ type: "graphEvent", kind, value: data[kind] ?? null }));
}

/** Return an event of the stream or of the log. Throws an `Error` for what no server of this kind sends. */
export function toEvent(kind: string, id: number | null, sent: unknown): StreamEvent {
  try {
    const data = object(typeof sent === "string" ? JSON.parse(sent) : sent);
    const read = READERS.get(kind);
    if (read === undefined) return { type: "unknown", id, data, kind };
    if (id === null && kind !== "waiting" && kind !== "reset") throw new TypeError("expected an id");
    return { type: kind, id, data, ...read(data) } as unknown as StreamEvent;
  } catch (error) {
    throw new Error(`the event \`${kind}\` cannot be read: ${String(error)}`, { cause: error });
  }
}
