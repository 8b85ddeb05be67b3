/** Tells what happened to a message and when, from its events: waits, attempts, nodes, model calls and tool calls. */

import { plural, span as spanText, whole } from "../../format.js";

/** @typedef {import("agentq-client").StreamEvent} StreamEvent */
/** @typedef {import("agentq-client").MessageDetails} MessageDetails */
/** @typedef {"wait" | "attempt" | "node" | "model" | "tool"} Lane */
/** @typedef {"good" | "bad" | "running" | "asking" | "quiet"} Kind */

/**
 * A stretch of time. Times are in milliseconds.
 * @typedef {object} Span
 * @property {Lane} lane
 * @property {string} name
 * @property {number} from
 * @property {number | null} to  null while it lasts
 * @property {number | null} first  when a model gave its first token
 * @property {Kind} kind
 * @property {string} detail
 */

/** A pause before the next attempt that is shorter is none. */
const PAUSE_MS = 50;

/** Takes the events one after the other, and keeps the spans that are open. */
class Spans {
  /** @param {MessageDetails} message */
  constructor(message) {
    /** @type {Span[]} */
    this.spans = [];
    /** Those that last, by what ends them. @type {Map<string, Span>} */
    this.open = new Map();
    /** Model calls whose usage is not known yet. @type {Span[]} */
    this.models = [];
    /** The end of what was before, with which a model call begins. */
    this.activity = Date.parse(message.created_at);
    /** The earliest end of the present wait. @type {number | null} */
    this.waitUntil = message.run_at && message.attempt <= 1 ? Date.parse(message.run_at) : null;
    this.begin("wait", "wait", "In the queue", this.activity, "quiet");
  }

  /** @type {(key: string, lane: Lane, name: string, from: number, kind?: Kind, detail?: string) => Span} */
  begin(key, lane, name, from, kind = "running", detail = "") {
    /** @type {Span} */
    const span = { lane, name, from, to: null, first: null, kind, detail };
    this.spans.push(span);
    this.open.set(key, span);
    return span;
  }

  /** @type {(key: string, to: number, kind?: Kind, detail?: string) => void} */
  end(key, to, kind, detail) {
    const span = this.open.get(key);
    if (!span) return;
    this.open.delete(key);
    span.to = Math.max(span.from, to);
    if (kind) span.kind = kind;
    if (detail) span.detail = detail;
  }

  /** End the wait. The part of it that was meant is a span of its own. @param {number} to */
  endWait(to) {
    const wait = this.open.get("wait");
    const until = this.waitUntil;
    this.waitUntil = null;
    this.end("wait", to);
    if (!wait || until === null || until <= wait.from + PAUSE_MS) return;
    const name = wait.detail ? "Pause before the next attempt" : "Delayed";
    const pause = { ...wait, name, to: Math.min(until, to) };
    this.spans.splice(this.spans.indexOf(wait), 0, pause);
    Object.assign(wait, { from: pause.to, detail: "" });
  }

  /** End all that belongs to the attempt, and the attempt. @type {(to: number, kind: Kind, detail: string) => void} */
  endAttempt(to, kind, detail) {
    for (const key of [...this.open.keys()]) if (key !== "attempt" && key !== "wait") this.end(key, to, kind === "good" ? "good" : "quiet");
    this.endModels(to);
    this.end("attempt", to, kind, detail);
    this.endWait(to);
  }

  /** @param {number} at */
  endModels(at) {
    for (const key of [...this.open.keys()]) if (key.startsWith("model:")) this.end(key, this.activity, "good");
    this.activity = at;
  }

  /** @type {(event: import("agentq-client").Content | import("agentq-client").Reasoning | import("agentq-client").ToolCall, at: number) => void} */
  chunk(event, at) {
    const key = `model:${event.message ?? ""}:${event.node ?? ""}`;
    if (!this.open.has(key)) {
      const span = this.begin(key, "model", event.node ?? "Model", Math.min(this.activity, at));
      span.first = at;
      this.models.push(span);
    }
    if (event.type === "toolCall") this.begin(`tool:${event.callId}`, "tool", event.name, at, "running", JSON.stringify(event.args));
    this.activity = at;
  }

  /** @param {import("agentq-client").Usage} event @param {number} at */
  usage({ models }, at) {
    const detail = Object.entries(models).map(([name, used]) => {
      const { input_tokens: input, output_tokens: output } = /** @type {any} */ (used);
      return `${name}: ${plural(used.calls, "call")}, ${whole(input)} tokens in, ${whole(output)} out`;
    });
    for (const span of this.models) span.detail = detail.join("; ");
    this.models = [];
    this.endModels(at);
  }

  /** @type {(name: string, from: number, kind: Kind, detail?: string) => void} */
  wait(name, from, kind, detail = "") {
    this.begin("wait", "wait", name, from, kind, detail);
    this.activity = from;
  }

  /** @param {StreamEvent} event @param {number} at */
  take(event, at) {
    switch (event.type) {
      case "processing":
        this.endWait(at);
        this.begin("attempt", "attempt", `Attempt ${event.attempt}`, at);
        this.activity = at;
        break;
      case "node":
        if (event.state === "start") this.begin(`node:${event.task}`, "node", event.node, at);
        else this.end(`node:${event.task}`, at, "good");
        break;
      case "content":
      case "reasoning":
      case "toolCall":
        this.chunk(event, at);
        break;
      case "toolResult":
        this.end(`tool:${event.callId}`, at, event.status === "error" ? "bad" : "good");
        this.endModels(at);
        break;
      case "usage":
        this.usage(event, at);
        break;
      case "retry":
        this.endAttempt(at, "bad", event.error);
        this.waitUntil = event.nextAt?.getTime() ?? null;
        this.wait("In the queue again", at, "quiet", event.error);
        break;
      case "interrupted":
        this.endAttempt(at, "asking", "The agent asked a person.");
        this.wait("For a person's answer", at, "asking");
        break;
      case "resumed":
        this.endWait(at);
        this.wait("In the queue after the answer", at, "quiet");
        break;
      case "done":
        this.endAttempt(at, "good", "");
        break;
      case "failed":
        this.endAttempt(at, "bad", event.error);
        break;
      case "cancelled":
        this.endAttempt(at, "quiet", "Cancelled.");
        break;
    }
  }
}

/** The spans of a message whose events still come. Each event is looked at once. */
export class GrowingSpans {
  /** @param {MessageDetails} message @param {string} reason  why it waited at first, as far as that is known now */
  constructor(message, reason) {
    this.message = message;
    this.taken = new Spans(message);
    this.first = /** @type {Span} */ (this.taken.spans[0]);
    this.reason = reason;
    this.count = 0;
    this.last = 0;
    this.isWhole = message.started_at === null;
  }

  /**
   * Return the spans of all events so far, in the order in which they began.
   * @param {readonly StreamEvent[]} events
   * @param {readonly number[]} times
   * @returns {readonly Span[]}
   */
  after(events, times) {
    for (; this.count < events.length; this.count++) {
      const event = /** @type {StreamEvent} */ (events[this.count]);
      this.last = Math.max(this.last, times[this.count] ?? 0);
      this.isWhole ||= event.type === "processing";
      this.taken.take(event, this.last);
    }
    if (!this.isWhole) return spansOfDetails(this.message);
    const wait = this.taken.open.get("wait");
    if (wait && !wait.detail && this.message.waiting_reason) wait.detail = this.message.waiting_reason.message;
    else if (this.first.to !== null && this.reason) this.first.detail = this.reason;
    return this.taken.spans;
  }
}

/** Return the spans of a message whose events are no longer kept: its waits and attempts. @param {MessageDetails} message @returns {Span[]} */
function spansOfDetails({ created_at, started_at, completed_at, state, attempt, attempts, error }) {
  /** @type {Span[]} */
  const spans = [];
  let end = Date.parse(created_at);
  /** @type {(name: string, from: number, to: number | null, kind: Kind, detail: string) => void} */
  const add = (name, from, to, kind, detail) => {
    if (from > end) spans.push({ lane: "wait", name: "Waited", from: end, to: from, first: null, kind: "quiet", detail: "" });
    spans.push({ lane: "attempt", name, from, to, first: null, kind, detail });
    end = to ?? from;
  };
  for (const each of attempts) add(`Attempt ${each.attempt}`, Date.parse(each.started_at), Date.parse(each.ended_at), "bad", each.error);
  const isLastKnown = attempts.at(-1)?.attempt === attempt;
  if (started_at && !isLastKnown) {
    const kind = /** @type {Record<string, Kind>} */ ({ completed: "good", failed: "bad", processing: "running", interrupted: "asking" })[state];
    add(`Attempt ${attempt}`, Math.max(end, Date.parse(started_at)), completed_at ? Date.parse(completed_at) : null, kind ?? "quiet", error ?? "");
  }
  return spans;
}

/** Return what a span is in words. @param {Span} span @param {number} now */
export function wordsOfSpan({ name, from, to, first, kind, detail }, now) {
  const length = spanText(((to ?? now) - from) / 1000);
  const parts = [to === null ? `${length} so far` : length];
  if (first !== null) parts.push(`first token after ${spanText((first - from) / 1000)}`);
  if (kind === "bad") parts.push("failed");
  return `${name}: ${parts.join(", ")}${detail ? `. ${detail}` : ""}`;
}
