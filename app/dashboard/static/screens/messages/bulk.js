/** Actions on all messages that match the filters, however many are loaded. */

import { replyOf } from "agentq-client";

import { client } from "../../client.js";
import { plural } from "../../format.js";
import { queryOf } from "./query.js";

/** @typedef {"cancel" | "retry" | "priority"} Action */
/** @typedef {"high" | "normal" | "low"} Priority */

/** The messages of an action: a filter that the server counts once more, or their ids. @typedef {{ count: number, filter: Record<string, unknown> | null, ids: readonly string[] }} Match */

/** Most messages that the server changes by one request. */
const MOST = 1_000;

/** Most messages that are changed by one click. */
export const MOST_AT_ONCE = 10_000;

/** @type {Record<Action, readonly string[]>} */
const STATES = { cancel: ["queued", "processing", "interrupted"], retry: ["failed"], priority: ["queued"] };

/** @type {Record<Action, readonly string[]>} */
const FILTERS = {
  cancel: ["thread_id", "agent", "priority", "error_code", "fingerprint"],
  retry: ["thread_id", "agent", "priority", "error_code", "fingerprint"],
  priority: ["thread_id", "agent", "priority"],
};

/** Return the states of the filters in which the action is possible. @type {(action: Action, query: URLSearchParams) => string[]} */
export function statesFor(action, query) {
  const wanted = query.getAll("state");
  return STATES[action].filter((state) => wanted.length === 0 || wanted.includes(state));
}

/** Return how many messages match: exact, null for a search. `atLeast` if there are more. @type {(query: URLSearchParams, options: { signal: AbortSignal }) => Promise<{ count: number, atLeast: boolean } | null>} */
export async function countOf(query, options) {
  return query.has("q") ? null : counted(queryOf(query), options);
}

/** @type {(wanted: object, options: { signal?: AbortSignal }) => Promise<{ count: number, atLeast: boolean }>} */
async function counted(wanted, options) {
  const { value } = await client.messages(/** @type {any} */ ({ ...wanted, limit: 1, count: true }), options).pages().next();
  const [first] = value ?? [];
  if (!first) return { count: 0, atLeast: false };
  const { headers } = replyOf(first);
  const total = headers.get("x-pagination-total");
  return { count: Number(total ?? headers.get("x-pagination-total-at-least")), atLeast: total === null };
}

/** Return the messages that an action would change now. @type {(action: Action, query: URLSearchParams) => Promise<Match>} */
export async function matching(action, query) {
  const wanted = { ...queryOf(query), state: statesFor(action, query) };
  const filter = filterOf(action, query);
  if (filter !== null) {
    const { count, atLeast } = await counted(wanted, {});
    if (!atLeast && count <= MOST) return { count, filter, ids: [] };
  }
  /** @type {string[]} */
  const ids = [];
  for await (const page of client.messages(/** @type {any} */ ({ ...wanted, limit: MOST })).pages()) {
    ids.push(...page.map(({ message_id: id }) => id));
    if (ids.length >= MOST_AT_ONCE) break;
  }
  return { count: Math.min(ids.length, MOST_AT_ONCE), filter: null, ids: ids.slice(0, MOST_AT_ONCE) };
}

/** Return the filter as the server takes it for the action; null if it takes none like it. @type {(action: Action, query: URLSearchParams) => Record<string, unknown> | null} */
function filterOf(action, query) {
  const names = [...query.keys()].filter((name) => name !== "state");
  if (!names.every((name) => FILTERS[action].includes(name))) return null;
  if (action === "priority" && names.length === 0) return null;
  const values = Object.fromEntries(names.map((name) => [name, query.get(name)]));
  return action === "cancel" ? { ...values, state: statesFor(action, query) } : values;
}

/**
 * Do it, and return what was done. Throws Conflict, and does nothing, if a filter matches another number by now.
 * @type {(action: Action, match: Match, priority: Priority) => Promise<string>}
 */
export async function carryOut(action, { count, filter, ids }, priority) {
  if (filter !== null) return words(action, await once(action, { filter, expected_count: count }, priority));
  let done = 0;
  for (let at = 0; at < ids.length; at += MOST) done += await once(action, { message_ids: ids.slice(at, at + MOST) }, priority);
  return words(action, done);
}

/** @type {(action: Action, selection: any, priority: Priority) => Promise<number>} */
async function once(action, selection, priority) {
  if (action === "retry") return (await client.deadLetters.requeue(selection)).requeued.length;
  if (action === "priority") return (await client.changeAll({ priority, ...selection })).reprioritized.length;
  const { cancelled, stopping } = await client.cancelAll(selection);
  return cancelled.length + stopping.length;
}

/** @type {(action: Action, done: number) => string} */
function words(action, done) {
  return `${plural(done, "message")} ${{ cancel: "cancelled", retry: "queued again", priority: "changed" }[action]}.`;
}
