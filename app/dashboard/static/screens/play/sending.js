/** Sends what was typed: as a new message, or in place of an earlier one. */

import { client } from "../../client.js";
import { textOf } from "./conversation.js";

/** @typedef {import("./images.js").Image} Image */
/** @typedef {import("agentq-client").MessageFields} MessageFields */

/**
 * A message that was typed and not sent yet.
 * @typedef {object} Draft
 * @property {string} text
 * @property {readonly Image[]} images
 * @property {import("../../components/schema-form.js").Typed} fields  of the form, for agents that take no text
 * @property {"high" | "normal" | "low"} priority
 * @property {string} metadata  `name=value` by lines
 * @property {"enqueue" | "interrupt"} ifBusy
 * @property {string | null} edits  the message in whose place it is sent
 * @property {string | null} key  of the try that failed, so that another one cannot store it twice
 */

/** @type {Draft} */
export const NOTHING = { text: "", images: [], fields: {}, priority: "normal", metadata: "", ifBusy: "enqueue", edits: null, key: null };

/**
 * Return the values of `name=value` lines. Numbers, true, false and null are such values. Throws an Error for other lines.
 * @param {string} lines
 */
export function metadataIn(lines) {
  /** @type {Record<string, string | number | boolean | null>} */
  const found = {};
  for (const line of lines.split("\n").filter((each) => each.trim() !== "")) {
    const [, name, value = ""] = /^\s*([^=]+?)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (!name) throw new Error(`Write metadata as name=value, one a line. This is none: ${line}`);
    found[name] = valueOf(value);
  }
  return found;
}

/** @param {string} text */
function valueOf(text) {
  if (/^-?\d{1,15}(\.\d+)?$/.test(text)) return Number(text);
  return { true: true, false: false, null: null }[text] ?? (text === "null" ? null : text);
}

/**
 * Return what to submit, without the thread and the agent.
 * @param {Draft} draft
 * @param {Record<string, unknown> | null} input  in place of a text
 * @returns {MessageFields & { message?: import("agentq-client").Text }}
 */
export function bodyOf({ text, images, priority, metadata, ifBusy }, input) {
  const values = metadataIn(metadata);
  const common = { priority, if_busy: ifBusy, ...(Object.keys(values).length > 0 && { metadata: values }) };
  if (input !== null) return { ...common, input };
  if (images.length === 0) return { ...common, message: text };
  const blocks = images.map(({ mime, base64 }) => ({ type: /** @type {const} */ ("image"), mime_type: mime, base64 }));
  const words = text.trim() === "" ? [] : [{ type: /** @type {const} */ ("text"), text }];
  return { ...common, message: /** @type {any} */ ([...words, ...blocks]) };
}

/**
 * Return the checkpoint before a message: null for the first message of its thread, undefined if the message has changed
 * nothing that the agent keeps.
 * @param {string} threadId
 * @param {string} messageId
 * @returns {Promise<string | null | undefined>}
 */
export async function placeBefore(threadId, messageId) {
  let oldest;
  for await (const state of client.threads.history(threadId, { limit: 100 })) {
    if (state.message_id === messageId) oldest = state;
    else if (oldest) break;
  }
  return oldest && (oldest.parent_checkpoint?.checkpoint_id ?? null);
}

/** Return what a message said, for a draft. @param {import("./conversation.js").Turn} turn @returns {Partial<Draft>} */
export function draftOf(turn) {
  const { message } = turn.details.peek() ?? {};
  if (!Array.isArray(message)) return { text: turn.message.peek().user_message, images: [] };
  const images = message.flatMap((/** @type {any} */ block) =>
    block.type === "image" && block.base64 ? [{ mime: block.mime_type, base64: block.base64, name: "Attached image" }] : [],
  );
  return { text: textOf(message), images };
}
