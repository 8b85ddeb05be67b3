/** An answer while it is written: its parts, without what later events have taken back, and what is known of its run. */

/** @typedef {import("agentq-client").StreamEvent} StreamEvent */
/** @typedef {import("agentq-client").Question} Question */

/**
 * @typedef {object} TextPart
 * @property {"text" | "reasoning"} kind
 * @property {number} id  of its first event
 * @property {string} text
 * @property {string | null} message  the id of the agent's message that it belongs to
 * @property {string | null} node
 * @property {boolean} isStep  whether it is a step on the way, and not the answer
 * @property {readonly { id: number, text: string }[]} pieces
 */

/**
 * @typedef {object} ToolPart
 * @property {"tool"} kind
 * @property {number} id
 * @property {string | null} callId
 * @property {string} name
 * @property {Readonly<Record<string, unknown>>} args
 * @property {string | null} result  null while the tool works
 * @property {string | null} status
 * @property {number | null} resultId  the id of the event with the result
 */

/** @typedef {{ kind: "custom", id: number, value: unknown }} CustomPart */
/** @typedef {TextPart | ToolPart | CustomPart} Part */

/**
 * @typedef {object} AnswerView
 * @property {readonly Part[]} parts
 * @property {string | null} state  by the last event; null before the first
 * @property {number | null} attempt
 * @property {{ position: number | null, eta: Date | null, reason: string | null } | null} waiting
 * @property {{ error: string, nextAt: Date | null } | null} retry  while it waits for its next attempt
 * @property {readonly Question[]} questions  that it asks now
 * @property {string | null} error
 * @property {unknown} output  null unless the answer is more than its text
 */

/** Takes events in their order. Each `view` is a value of its own, and parts that have not changed are the same objects. */
export class Answer {
  /** @type {Part[]} */
  #parts = [];
  /** @type {Omit<AnswerView, "parts">} */
  #known = { state: null, attempt: null, waiting: null, retry: null, questions: [], error: null, output: null };

  /** @returns {AnswerView} */
  get view() {
    return { ...this.#known, parts: [...this.#parts] };
  }

  /** The text of the answer so far, without steps and reasoning. */
  get text() {
    return this.#parts.map((part) => (part.kind === "text" && !part.isStep ? part.text : "")).join("");
  }

  /** @param {StreamEvent} event */
  take(event) {
    const { state } = /** @type {{ state?: unknown }} */ (event.data);
    const known = this.#known;
    if (typeof state === "string" && event.type !== "node") known.state = state;
    known.waiting = event.type === "waiting" ? event : null;
    if (event.type !== "waiting") known.retry = null;
    if (event.type !== "unknown" && event.type !== "usage") known.questions = [];
    this.#apply(event);
  }

  /** @param {StreamEvent} event */
  #apply(event) {
    const known = this.#known;
    switch (event.type) {
      case "processing":
        known.attempt = event.attempt;
        break;
      case "content":
        return this.#write("text", event);
      case "reasoning":
        return this.#write("reasoning", event);
      case "toolCall": {
        const { callId, name, args } = event;
        this.#parts.push({ kind: "tool", id: idOf(event), callId, name, args, result: null, status: null, resultId: null });
        break;
      }
      case "toolResult":
        return this.#finishTool(event);
      case "custom":
        this.#parts.push({ kind: "custom", id: idOf(event), value: event.value });
        break;
      case "discard":
        return this.#takeBack(event);
      case "retry":
        known.retry = { error: event.error, nextAt: event.nextAt };
        return this.#cut(event.discardFrom);
      case "resumed":
        return this.#cut(event.discardFrom);
      case "interrupted":
        known.questions = event.questions;
        break;
      case "reset":
        this.#parts = [];
        return this.#end(event.text);
      case "done":
        known.output = event.output;
        return this.#end(event.text);
      case "failed":
        known.error = event.error;
        break;
    }
  }

  /**
   * @param {"text" | "reasoning"} kind
   * @param {import("agentq-client").Content | import("agentq-client").Reasoning} event
   */
  #write(kind, event) {
    const { message, node, text } = event;
    const piece = { id: idOf(event), text };
    const last = this.#parts.at(-1);
    if (last?.kind === kind && last.message === message && last.node === node && !last.isStep) {
      /** @type {{ id: number, text: string }[]} */ (last.pieces).push(piece);
      this.#parts[this.#parts.length - 1] = { ...last, text: last.text + text };
    } else {
      this.#parts.push({ kind, id: piece.id, text, message, node, isStep: false, pieces: [piece] });
    }
  }

  /** @param {import("agentq-client").ToolResult} event */
  #finishTool(event) {
    const { callId, name, content: result, status } = event;
    const at = this.#parts.findLastIndex((part) => part.kind === "tool" && part.callId === callId && part.result === null);
    const part = this.#parts[at];
    const resultId = idOf(event);
    if (part?.kind === "tool") this.#parts[at] = { ...part, result, status, resultId };
    else this.#parts.push({ kind: "tool", id: resultId, callId, name: name ?? "tool", args: {}, result, status, resultId });
  }

  /** @param {import("agentq-client").Discard} event */
  #takeBack({ message, kept, discardFrom }) {
    /** @param {Part} part */
    const isMeant = (part) => "message" in part && part.message === message && part.id >= discardFrom;
    this.#parts = kept
      ? this.#parts.map((part) => (isMeant(part) ? /** @type {Part} */ ({ ...part, isStep: true }) : part))
      : this.#parts.filter((part) => !isMeant(part));
  }

  /** Forget the events from an id on. @param {number} from */
  #cut(from) {
    this.#parts = this.#parts
      .filter(({ id }) => id < from)
      .map((part) => {
        if (part.kind === "tool") return (part.resultId ?? 0) < from ? part : { ...part, result: null, status: null, resultId: null };
        if (part.kind === "custom" || (part.pieces.at(-1)?.id ?? 0) < from) return part;
        const pieces = part.pieces.filter(({ id }) => id < from);
        return { ...part, pieces, text: pieces.map(({ text }) => text).join("") };
      });
  }

  /** Have the answer say `text`, which the log may have in part only. @param {string} text */
  #end(text) {
    if (text === this.text) return;
    const others = this.#parts.filter((part) => part.kind !== "text" || part.isStep);
    this.#parts = [...others, { kind: "text", id: 0, text, message: null, node: null, isStep: false, pieces: [{ id: 0, text }] }];
  }
}

/** @param {StreamEvent} event */
function idOf(event) {
  return event.id ?? 0;
}

/** Return the answer of a message whose events are no longer kept. @param {import("agentq-client").Message} message */
export function answerWithoutEvents(message) {
  const { state, result, error, attempt, interrupts = [], output = null } = message;
  const text = result ?? "";
  /** @type {Part[]} */
  const parts = text ? [{ kind: "text", id: 0, text, message: null, node: null, isStep: false, pieces: [] }] : [];
  return { parts, state, attempt, waiting: null, retry: null, questions: interrupts, error, output };
}
