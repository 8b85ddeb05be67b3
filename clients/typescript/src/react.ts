/** React hooks: a message, and the messages of a thread, as they are written. */

import { useCallback, useEffect, useRef, useState } from "react";

import type { AgentQ } from "./client.js";
import { checkEnd } from "./core/outcomes.js";
import { NotFound } from "./errors.js";
import type { Message, MessageFields, Question, Text } from "./models.js";
import type { MessageStream } from "./stream.js";

/** A component is rendered at most once in this time, however fast events come. */
const RENDER_MS = 16;

/** A message as far as it is known. */
export interface MessageView {
  readonly messageId: string | null;
  /** The state by the last event, null before the first. */
  readonly state: string | null;
  /** The answer so far, without what was discarded. */
  readonly text: string;
  /** The number of messages before it, null when it does not wait. */
  readonly position: number | null;
  /** The estimated start, null when it is not known. */
  readonly eta: Date | null;
  readonly attempt: number | null;
  /** The questions that the agent asks a human now. */
  readonly questions: readonly Question[];
  /** Whether the stream is over: at the end of the message, or by an error. */
  readonly isOver: boolean;
  /** Why the message gives no answer, or why the stream broke. */
  readonly error: Error | null;
}

const NOTHING: MessageView = {
  messageId: null,
  state: null,
  text: "",
  position: null,
  eta: null,
  attempt: null,
  questions: [],
  isOver: false,
  error: null,
};

function viewOf(stream: MessageStream, questions: readonly Question[]): MessageView {
  const { messageId, state, text, position, eta, attempt } = stream;
  return { messageId, state, text, position, eta, attempt, questions, isOver: false, error: null };
}

/** Read a message to its end and tell what is known of it. Return when it is over, or when the signal is aborted. */
async function watch(
  client: AgentQ,
  messageId: string,
  signal: AbortSignal,
  tell: (view: MessageView) => void,
): Promise<void> {
  const stream = client.follow(messageId, { signal });
  let questions: readonly Question[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  const show = (end: Partial<MessageView> = {}): void => {
    clearTimeout(timer);
    timer = undefined;
    if (!signal.aborted) tell({ ...viewOf(stream, questions), ...end });
  };
  try {
    for await (const event of stream) {
      if (event.type === "interrupted") questions = event.questions;
      else if (event.type !== "unknown") questions = [];
      timer ??= setTimeout(show, RENDER_MS);
    }
    checkEnd(messageId, stream.end);
    show({ isOver: true });
  } catch (error) {
    show({ isOver: true, error: error as Error });
  }
}

/**
 * Follow a message and return it as it is written. Nothing is followed while `messageId` is null. The message goes on when
 * the component is gone, and a component that comes later shows the same.
 */
export function useMessage(client: AgentQ, messageId: string | null): MessageView {
  const [view, setView] = useState(NOTHING);
  useEffect(() => {
    setView({ ...NOTHING, messageId });
    if (messageId === null) return;
    const controller = new AbortController();
    void watch(client, messageId, controller.signal, setView);
    return () => controller.abort();
  }, [client, messageId]);
  return view.messageId === messageId ? view : { ...NOTHING, messageId };
}

/** A message of a thread: what the user said, and the answer as far as it is known. */
export interface ThreadEntry extends MessageView {
  readonly messageId: string;
  readonly userMessage: string;
}

export interface ThreadView {
  /** The messages, oldest first. */
  readonly entries: readonly ThreadEntry[];
  readonly isLoading: boolean;
  /** Why the messages could not be listed, or the last one not be sent. */
  readonly error: Error | null;
  /** Send a message of the thread. Return its id; rejects if it was not stored. */
  readonly send: (message: Text, fields?: Omit<MessageFields, "thread_id">) => Promise<string>;
  /** List the messages again, such as those that another page has sent. */
  readonly reload: () => void;
}

const ENDED: ReadonlySet<string | null> = new Set(["completed", "failed", "cancelled"]);

function entryOf(message: Message): ThreadEntry {
  const { message_id: messageId, user_message: userMessage, state, result, interrupts = [] } = message;
  const error = message.error === null ? null : new Error(message.error);
  const isOver = ENDED.has(state);
  const { queue_position: position, attempt } = message;
  const known = { messageId, userMessage, state, text: result ?? "", position, attempt, error, isOver };
  return { ...NOTHING, ...known, questions: interrupts };
}

/**
 * Return the messages of a thread, and follow them as they are written: one stream at a time, since they run one at a
 * time. Nothing is listed while `threadId` is null.
 */
export function useThread(client: AgentQ, threadId: string | null): ThreadView {
  const [entries, setEntries] = useState<readonly ThreadEntry[]>([]);
  const [isLoading, setLoading] = useState(threadId !== null);
  const [error, setError] = useState<Error | null>(null);
  const [round, setRound] = useState(0);
  const shown = useRef(threadId);

  useEffect(() => {
    const controller = new AbortController();
    const { signal } = controller;
    const load = async (id: string): Promise<void> => {
      setLoading(true);
      try {
        const found = await listed(client, id, signal);
        if (signal.aborted) return;
        setError(null);
        setEntries((before) => merged(found, before));
      } catch (failure) {
        if (!signal.aborted) setError(failure as Error);
      }
      if (!signal.aborted) setLoading(false);
    };
    if (shown.current !== threadId) setEntries([]);
    shown.current = threadId;
    if (threadId !== null) void load(threadId);
    return () => controller.abort();
  }, [client, threadId, round]);

  const next = entries.find(({ isOver }) => !isOver)?.messageId ?? null;
  useEffect(() => {
    if (next === null) return;
    const controller = new AbortController();
    void watch(client, next, controller.signal, (view) => {
      setEntries((before) => before.map((each) => (each.messageId === next ? { ...each, ...view, messageId: next } : each)));
    });
    return () => controller.abort();
  }, [client, next]);

  const send = useCallback<ThreadView["send"]>(
    async (message, fields = {}) => {
      try {
        const accepted = await client.submit(message, { ...fields, ...(threadId !== null && { thread_id: threadId }) });
        const { message_id: messageId, state, queue_position: position } = accepted;
        const userMessage = typeof message === "string" ? message : JSON.stringify(message);
        const entry = { ...NOTHING, messageId, userMessage, state, position };
        if (shown.current === threadId) setEntries((before) => merged(before, [entry]));
        setError(null);
        return messageId;
      } catch (failure) {
        setError(failure as Error);
        throw failure;
      }
    },
    [client, threadId],
  );
  const reload = useCallback(() => setRound((before) => before + 1), []);
  return { entries, isLoading, error, send, reload };
}

/** Return the messages of a thread, none for a thread that its first message will make. */
async function listed(client: AgentQ, threadId: string, signal: AbortSignal): Promise<ThreadEntry[]> {
  const found: ThreadEntry[] = [];
  try {
    for await (const message of client.threads.messages(threadId, {}, { signal })) found.push(entryOf(message));
  } catch (error) {
    if (!(error instanceof NotFound)) throw error;
  }
  return found;
}

/** Return what was listed, with the text of what is being followed, and with what was sent meanwhile. */
function merged(found: readonly ThreadEntry[], before: readonly ThreadEntry[]): ThreadEntry[] {
  const known = new Map(before.map((entry) => [entry.messageId, entry]));
  const entries = found.map((entry) => (entry.isOver ? entry : (known.get(entry.messageId) ?? entry)));
  for (const { messageId } of found) known.delete(messageId);
  return [...entries, ...known.values()];
}
