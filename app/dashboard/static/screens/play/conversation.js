/** A thread as a conversation: its messages, and the answer of the one that runs, as far as it is written. */

import { NotFound, isTerminal } from "agentq-client";
import { computed, effect, signal, untracked } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

import { Answer, answerWithoutEvents } from "../../answer.js";
import { client } from "../../client.js";
import { isHidden, useChanges } from "../../live.js";
import { eventsOf } from "../../message-events.js";
import { ENDED } from "../../message-states.js";
import { may } from "../../session.js";

/** @typedef {import("agentq-client").Message} Message */
/** @typedef {import("agentq-client").MessageDetails} MessageDetails */
/** @typedef {import("../../answer.js").AnswerView} AnswerView */

/**
 * @typedef {object} Turn
 * @property {string} id
 * @property {import("@preact/signals").Signal<Message>} message
 * @property {import("@preact/signals").Signal<AnswerView | null>} answer  null until something is known of it
 * @property {import("@preact/signals").Signal<MessageDetails | null>} details
 */

/** A message as the agent remembers it. @typedef {{ id: string | null, role: string, text: string }} Remembered */

const RETRY_MS = 2_000;
const PAGE = 50;
const EVENTS_PAGE = 1_000;

/** @param {Turn} turn */
export function isOver(turn) {
  return ENDED.has(turn.message.value.state);
}

export class Conversation {
  /** The turns, oldest first. @type {import("@preact/signals").Signal<readonly Turn[]>} */
  turns = signal([]);
  isLoading = signal(true);
  hasEarlier = signal(false);
  /** Why the messages cannot be listed. */
  problem = signal(/** @type {unknown} */ (null));
  /** Whether the stream of the present answer is cut off, and opened again and again. */
  isCut = signal(false);
  /** The state that the agent has of the thread; null if that cannot be told. */
  memory = signal(/** @type {readonly Remembered[] | null} */ (null));
  /** The first turn that has not ended, which is the one that may run. */
  head = computed(() => this.turns.value.find((turn) => !isOver(turn)) ?? null);
  /** @type {AsyncIterator<Message[]> | null} */
  #pages = null;
  /** Answers that are being written, with the last event that they have. @type {Map<string, { answer: Answer, after: number | null }>} */
  #written = new Map();
  #memoryRead = 0;

  /** @param {string} threadId */
  constructor(threadId) {
    this.threadId = threadId;
  }

  /** Keep the conversation up to date, until the function that it returns is called. */
  start() {
    const isWanted = computed(() => may("read") && !isHidden.value);
    const headId = computed(() => (isWanted.value ? (this.head.value?.id ?? null) : null));
    const stopLoading = effect(() => {
      if (isWanted.value) void untracked(() => this.reload());
    });
    // A quick message may have ended before it is followed, so the end of any is what counts.
    const ended = computed(() => this.turns.value.filter(isOver).map(({ id }) => id).join(" "));
    const stopRecalling = effect(() => {
      if (isWanted.value && ended.value !== "") void untracked(() => this.recall());
    });
    const stopFollowing = effect(() => {
      const id = headId.value;
      if (id === null) return undefined;
      const stop = new AbortController();
      void untracked(() => this.#follow(id, stop.signal));
      return () => stop.abort();
    });
    return () => {
      stopLoading();
      stopRecalling();
      stopFollowing();
    };
  }

  /** Load the newest messages. Those that are shown stay. */
  async reload() {
    this.#pages = client.messages({ thread_id: this.threadId, limit: PAGE }).pages()[Symbol.asyncIterator]();
    await this.#loadPage();
    await this.recall();
  }

  /** Load older messages. */
  async loadEarlier() {
    await this.#loadPage();
  }

  async #loadPage() {
    try {
      const { value, done } = (await this.#pages?.next()) ?? { done: true };
      this.hasEarlier.value = !done && value.length === PAGE;
      if (!done) this.#merge(value);
      this.problem.value = null;
    } catch (error) {
      if (!(error instanceof NotFound)) this.problem.value = error;
    }
    this.isLoading.value = false;
  }

  /** @param {readonly Message[]} messages */
  #merge(messages) {
    const known = new Map(this.turns.peek().map((turn) => [turn.id, turn]));
    for (const message of messages) {
      const turn = known.get(message.message_id);
      if (turn) turn.message.value = { ...turn.message.peek(), ...message };
      else known.set(message.message_id, turnOf(message));
    }
    const turns = [...known.values()];
    this.turns.value = turns.sort((one, other) => orderOf(one).localeCompare(orderOf(other)));
  }

  /** Show a message that was just accepted. @param {string} messageId */
  async add(messageId) {
    try {
      this.#merge([await client.message(messageId)]);
    } catch (error) {
      this.problem.value = error;
    }
  }

  /** Show messages as forgotten, as the answer to a request told. @param {readonly string[]} ids */
  forget(ids) {
    this.memory.value = this.memory.peek()?.filter(({ id }) => id === null || !ids.includes(id)) ?? null;
  }

  /** Read what the agent remembers, which later messages may have replaced. */
  async recall() {
    const read = ++this.#memoryRead;
    try {
      const { values } = await client.threads.state(this.threadId);
      if (read === this.#memoryRead) this.memory.value = remembered(values);
    } catch {
      this.memory.value = null; // the agent keeps none, or it is not loaded: all turns are shown
    }
  }

  /**
   * Take over changes that happened elsewhere, such as in another tab.
   * @param {import("../../live.js").News} news
   */
  async take({ changes, isReset }) {
    const own = changes.filter((change) => change.type !== "reset" && change.thread_id === this.threadId);
    const turns = new Map(this.turns.peek().map((turn) => [turn.id, turn]));
    const isNew = own.some((change) => change.type !== "reset" && change.message_id && !turns.has(change.message_id));
    const isOther = own.some(({ type }) => ["message.purged", "thread.deleted", "message.requeued"].includes(type));
    if (isReset || isNew || isOther) return this.reload();
    for (const change of own) {
      const turn = change.type === "reset" ? undefined : turns.get(change.message_id ?? "");
      if (turn && turn !== this.head.peek() && !isOver(turn)) void this.refresh(turn);
    }
  }

  /** Read a turn's message again. @param {Turn} turn */
  async refresh(turn) {
    try {
      const details = await client.message(turn.id);
      turn.details.value = details;
      turn.message.value = details;
    } catch {
      // The turn stays as it is shown: the next change or reload tells more.
    }
  }

  /** Load what a turn that has ended has shown besides its text. @param {Turn} turn */
  async loadDetails(turn) {
    if (turn.details.peek() !== null) return;
    await this.refresh(turn);
    if (turn.answer.peek() !== null || !isOver(turn)) return;
    const answer = new Answer();
    let count = 0;
    try {
      for (let after = 0, size = EVENTS_PAGE; size === EVENTS_PAGE; count += size) {
        const events = await client.storedEvents(turn.id, { after, limit: EVENTS_PAGE });
        for (const event of events) answer.take(event);
        after = events.at(-1)?.id ?? after;
        size = events.length;
      }
    } catch {
      count = 0; // no events: the message's own text is shown
    }
    turn.answer.value = count > 0 ? answer.view : answerWithoutEvents(turn.message.peek());
  }

  /** @param {string} id @param {AbortSignal} stop */
  async #follow(id, stop) {
    const turn = this.turns.peek().find((each) => each.id === id);
    if (!turn) return;
    const written = this.#written.get(id) ?? { answer: new Answer(), after: null };
    this.#written.set(id, written);
    while (!stop.aborted && !isOver(turn)) {
      try {
        if (await this.#read(turn, written, stop)) return;
      } catch (error) {
        if (stop.aborted) return;
        if (error instanceof NotFound) return this.#remove(turn);
      }
      if (stop.aborted) return;
      this.isCut.value = true;
      await new Promise((done) => setTimeout(done, RETRY_MS));
    }
  }

  /**
   * Read events to the end of the message. Return whether it has ended.
   * @param {Turn} turn
   * @param {{ answer: Answer, after: number | null }} written
   * @param {AbortSignal} stop
   */
  async #read(turn, written, stop) {
    const show = onceAFrame(() => {
      if (!stop.aborted) turn.answer.value = written.answer.view;
    });
    for await (const event of eventsOf(turn.id, written, stop)) {
      this.isCut.value = false;
      written.answer.take(event);
      const { state } = written.answer.view;
      if (state && state !== turn.message.peek().state && !isTerminal(event)) {
        turn.message.value = { ...turn.message.peek(), state: /** @type {any} */ (state) };
      }
      show();
    }
    turn.answer.value = written.answer.view;
    await this.refresh(turn);
    if (!isOver(turn)) return false;
    this.#written.delete(turn.id);
    return true;
  }

  /** @param {Turn} turn */
  #remove(turn) {
    this.turns.value = this.turns.peek().filter((each) => each !== turn);
  }
}

/** @param {Message} message @returns {Turn} */
function turnOf(message) {
  return { id: message.message_id, message: signal(message), answer: signal(null), details: signal(null) };
}

/** Return what a turn is sorted by. Ids grow with time, and tell apart what has one time. @param {Turn} turn */
function orderOf(turn) {
  return `${turn.message.peek().created_at} ${turn.id}`;
}

/** @param {() => void} action */
function onceAFrame(action) {
  let isPlanned = false;
  return () => {
    if (isPlanned) return;
    isPlanned = true;
    requestAnimationFrame(() => {
      isPlanned = false;
      action();
    });
  };
}

/**
 * Return the messages of a state, null if it has none.
 * @param {any} values
 * @returns {Remembered[] | null}
 */
export function remembered(values) {
  if (!Array.isArray(values?.messages)) return null;
  return values.messages.map((/** @type {any} */ each) => ({
    id: each?.id ?? null,
    role: String(each?.type ?? each?.role ?? ""),
    text: textOf(each?.content),
  }));
}

/** @param {unknown} content  a text, or blocks */
export function textOf(content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((block) => (typeof block === "string" ? block : (block?.text ?? ""))).join("");
}

/** Return the conversation of a thread, which is kept up to date while a component is shown. @param {string | null} threadId */
export function useConversation(threadId) {
  const conversation = useMemo(() => (threadId === null ? null : new Conversation(threadId)), [threadId]);
  useEffect(() => conversation?.start(), [conversation]);
  useChanges((news) => void conversation?.take(news));
  return conversation;
}
