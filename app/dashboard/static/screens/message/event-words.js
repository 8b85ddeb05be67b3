/** The kinds of events, and what each one says in a line. */

/** @typedef {import("agentq-client").StreamEvent} StreamEvent */

/** @type {Record<string, string>} */
const KINDS = {
  processing: "attempt",
  versionChanged: "version",
  content: "text",
  reasoning: "reasoning",
  toolCall: "tool call",
  toolResult: "tool result",
  discard: "taken back",
  custom: "custom",
  node: "node",
  usage: "usage",
  retry: "retry",
  interrupted: "question",
  resumed: "answer",
  reset: "not kept",
  done: "completed",
  failed: "failed",
  cancelled: "cancelled",
};

/** Return the word for the kind of an event. @param {StreamEvent} event */
export function kindOf(event) {
  if (event.type === "graphEvent" || event.type === "unknown") return event.kind;
  return KINDS[event.type] ?? event.type;
}

const LONGEST = 300;

/** Kinds of events without what people and agents wrote. Errors tell what to mend. @type {ReadonlySet<string>} */
const PLAIN = new Set(["processing", "versionChanged", "discard", "node", "usage", "retry", "failed", "cancelled"]);

/** Return whether an event has nothing that people or agents wrote. @param {StreamEvent} event */
export function isPlain({ type }) {
  return PLAIN.has(type);
}

/** Return what an event says. @param {StreamEvent} event */
export function wordsOfEvent(event) {
  return wordsOf(event).slice(0, LONGEST);
}

/** @param {StreamEvent} event @returns {string} */
function wordsOf(event) {
  switch (event.type) {
    case "processing":
      return `Attempt ${event.attempt}`;
    case "versionChanged":
      return `Version ${event.to ?? "any"} goes on after ${event.previous}`;
    case "content":
    case "reasoning":
      return event.text;
    case "toolCall":
      return `${event.name}(${JSON.stringify(event.args)})`;
    case "toolResult":
      return `${event.name ?? ""} ${event.status === "error" ? "failed: " : ""}${event.content}`;
    case "discard":
      return event.kept ? "The text so far is a step before the answer." : "The text so far is no part of the answer.";
    case "node":
      return `${event.node} ${event.state === "start" ? "begins" : "ends"}`;
    case "custom":
      return JSON.stringify(event.value);
    case "graphEvent":
      return JSON.stringify(event.value);
    case "usage":
      return JSON.stringify(event.models);
    case "retry":
      return event.error;
    case "interrupted":
      return event.questions.map(({ value }) => (typeof value === "string" ? value : JSON.stringify(value))).join(" ");
    case "failed":
      return `${event.code}: ${event.error}`;
    case "done":
      return event.text;
    default:
      return event.type === "unknown" ? JSON.stringify(event.data) : "";
  }
}
