/** The questions of agents: what they ask, and which answers they take. Agents may ask with any JSON value. */

import { isFormSchema } from "./schema-form.js";

/** @typedef {import("agentq-client").Question} Question */

/** Fields of a question that may hold its text, the first one first. The command line has the same. */
const TEXTS = ["question", "message", "text", "prompt", "description"];
const CHOICES = ["choices", "options"];
const SCHEMAS = ["schema", "response_schema", "args_schema"];

/** A tool call that LangChain's middleware asks to approve. @typedef {{ name: string, args: unknown, description: string, allowed: readonly string[] }} Call */

/**
 * A question with the answers that it takes: those of `choices`, the form of `schema`, a decision for each of `calls`, or,
 * with none of them, any text.
 * @typedef {object} Asked
 * @property {string} id
 * @property {string} text
 * @property {readonly { name: string, value: unknown }[]} choices
 * @property {import("./schema-form.js").Schema | null} schema
 * @property {readonly Call[]} calls
 */

/** @param {Question} question @returns {Asked} */
export function readQuestion({ id, value }) {
  const asked = { id, text: textOf(value), choices: [], schema: null, calls: [] };
  if (typeof value !== "object" || value === null || Array.isArray(value)) return asked;
  const fields = /** @type {Record<string, any>} */ (value);
  const calls = callsOf(fields);
  if (calls.length > 0) return { ...asked, text: fields.description ?? "May the agent do this?", calls };
  const schema = [...SCHEMAS.map((name) => fields[name]), fields].find(isFormSchema) ?? null;
  const text = TEXTS.map((name) => fields[name]).find((each) => typeof each === "string");
  const choices = CHOICES.map((name) => fields[name]).find(Array.isArray) ?? [];
  return { ...asked, text: text ?? (schema === fields ? (fields.title ?? "") : asked.text), choices: choices.map(choiceOf), schema };
}

/** @param {unknown} value */
function textOf(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** @param {unknown} given */
function choiceOf(given) {
  if (typeof given === "object" && given !== null && !Array.isArray(given)) {
    const { label, value } = /** @type {any} */ (given);
    const name = label ?? value ?? given;
    return { name: typeof name === "string" ? name : JSON.stringify(name), value: value === undefined ? name : value };
  }
  return { name: typeof given === "string" ? given : JSON.stringify(given), value: given };
}

/** @param {Record<string, any>} fields @returns {Call[]} */
function callsOf({ action_requests: requests, review_configs: configs }) {
  if (!Array.isArray(requests) || !requests.every((each) => typeof each === "object" && each !== null)) return [];
  return requests.map(({ name, args, description }, at) => {
    const config = Array.isArray(configs) ? (configs.find((each) => each?.action_name === name) ?? configs[at]) : null;
    const allowed = config?.allowed_decisions;
    return {
      name: String(name ?? ""),
      args: args ?? {},
      description: typeof description === "string" ? description : "",
      allowed: Array.isArray(allowed) ? allowed : ["approve", "edit", "reject"],
    };
  });
}
