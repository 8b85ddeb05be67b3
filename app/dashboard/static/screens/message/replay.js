/** Shows a message as it was after each of its events. */

import { Answer } from "../../answer.js";

/** @typedef {import("agentq-client").StreamEvent} StreamEvent */
/** @typedef {import("../../answer.js").Part} Part */
/** @typedef {import("../../answer.js").ToolPart} ToolPart */

/** Gives the answer after any number of events. Going forwards costs the events between, going back all before. */
export class Replay {
  /** @param {readonly StreamEvent[]} events */
  constructor(events) {
    this.events = events;
    this.count = 0;
    this.answer = new Answer();
  }

  /** Return the answer after the first `count` events. @param {number} count */
  after(count) {
    if (count < this.count) {
      this.count = 0;
      this.answer = new Answer();
    }
    for (; this.count < count; this.count++) this.answer.take(/** @type {StreamEvent} */ (this.events[this.count]));
    return this.answer;
  }
}

/** Return the model's reasoning and the tool calls of an answer. @param {readonly Part[]} parts */
export function stepsOf(parts) {
  /** @type {ToolPart[]} */
  const calls = parts.filter((part) => part.kind === "tool");
  return { reasoning: parts.map((part) => (part.kind === "reasoning" ? part.text : "")).join(""), calls };
}
