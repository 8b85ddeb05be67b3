/** How replies are read as results, and the paths of what has an id. */

import type { Reply } from "./core/replies.js";
import { segment, type Query } from "./core/requests.js";
import { ConfigurationError, UnexpectedReply } from "./errors.js";
import { toEvent, type StoredEvent } from "./events.js";
import type { Accepted, Message, Metadata, Thread } from "./models.js";

const REPLIES = new WeakMap<object, Reply>();

/** Return the raw reply of a result, with its status and headers, which is that of the page for an entry of a list. */
export function replyOf(result: object): Reply {
  const reply = REPLIES.get(result);
  if (reply === undefined) throw new ConfigurationError("This was not read from a reply.");
  return reply;
}

/** Return whether an earlier request with this idempotency key had stored the message. */
export function isReplayed(accepted: Accepted): boolean {
  return replyOf(accepted).headers.get("idempotent-replayed") === "true";
}

export type Read<T> = (reply: Reply) => T;

/** Return a function that reads an object with these fields. It throws UnexpectedReply for another body. */
export function one<T extends object>(...fields: (keyof T & string)[]): Read<T> {
  return (reply) => validated(reply.json(), fields, reply);
}

/** Return a function that reads the list in the field `name`, or a reply that is a list. */
export function many<T extends object>(name: string | null, ...fields: (keyof T & string)[]): Read<T[]> {
  return (reply) => {
    const body = reply.json();
    const entries = name === null ? body : (body as Record<string, unknown> | null)?.[name];
    if (Array.isArray(entries)) return entries.map((entry) => validated<T>(entry, fields, reply));
    throw new UnexpectedReply(`The reply has no list \`${name ?? ""}\`.`, { requestId: reply.requestId });
  };
}

function validated<T extends object>(body: unknown, fields: string[], reply: Reply): T {
  const isObject = typeof body === "object" && body !== null;
  const missing = fields.find((field) => !isObject || !(field in body));
  if (!isObject || missing !== undefined) {
    throw new UnexpectedReply(`The reply has no field \`${missing}\`.`, { requestId: reply.requestId });
  }
  REPLIES.set(body, reply);
  return body as T;
}

/** Read a reply without a body. */
export const nothing: Read<void> = () => undefined;

export const readAccepted = one<Accepted>("message_id");
export const readMessage = one<Message>("message_id");
export const readThread = one<Thread>("thread_id");

const readLog = many<{ type: string; id: number; at?: string | null; data: object }>("events", "type", "id", "data");

/** Read the stored events of a message. */
export function readEvents(reply: Reply): StoredEvent[] {
  try {
    return readLog(reply).map(({ type, id, at, data }) => ({ ...toEvent(type, id, data), at: at ? new Date(at) : null }));
  } catch (cause) {
    if (cause instanceof UnexpectedReply) throw cause;
    const what = `The reply is no list of events: ${(cause as Error).message}.`;
    throw new UnexpectedReply(what, { requestId: reply.requestId, cause });
  }
}

/** Return the path of a message, or of a verb on it. */
export function messagePath(messageId: string, verb = ""): string {
  return `/messages/${segment(messageId)}${verb}`;
}

/** Return the path of a thread, or of a verb on it. */
export function threadPath(threadId: string, verb = ""): string {
  return `/threads/${segment(threadId)}${verb}`;
}

/** Return a query with a pair for each key of the metadata. */
export function withMetadata<T extends { metadata?: Metadata | undefined }>({ metadata = {}, ...query }: T): Query {
  const pairs = Object.entries(metadata).map(([name, value]) => [`metadata.${name}`, value]);
  return { ...query, ...Object.fromEntries(pairs) };
}
