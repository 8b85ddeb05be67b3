/** Sending messages, and looking at the queue they wait in. */

import { setTimeout as sleep } from "node:timers/promises";

import { type Accepted, type AgentQ, type MessageState, type Priority, Conflict, ServerUnavailable } from "agentq-client";

import { StreamAudit } from "../audit.js";
import type { Console } from "../console.js";
import {
  AWKWARD_THREAD,
  CONVERSATION,
  type Demo,
  RUN,
  isCount,
  isText,
  isTimestamp,
} from "./common.js";

const STARTING_SECONDS = 60;
const CANCEL_TRIES = 5;
const STATES: readonly MessageState[] = [
  "queued",
  "processing",
  "completed",
  "failed",
  "cancelled",
  "interrupted",
];

export async function health({ client, out, signal }: Demo): Promise<void> {
  for (let second = 0; ; second += 1) {
    try {
      const answer = await client.server.health({ signal });
      if (answer.status !== "starting" || second >= STARTING_SECONDS) {
        for (const [name, value] of Object.entries(answer)) out.field(name, value);
        out.check(isText(answer.status), "the server reports a status", answer.status);
        out.check(answer.status !== "starting", "the server has finished starting");
        return;
      }
    } catch (error) {
      if (!(error instanceof ServerUnavailable) || second >= STARTING_SECONDS) throw error;
    }
    out.note("not ready yet, asking again in a second");
    await sleep(1_000, undefined, { signal });
  }
}

export async function submitWithPriorities(demo: Demo): Promise<void> {
  demo.out.note("the least urgent one goes in first; the queue decides who is served first");
  const short = "Answer in one short sentence.";
  await submit(demo, "low", `What can wait until tomorrow? ${short}`, "low", AWKWARD_THREAD);
  await submit(demo, "normal", `What is a queue good for? ${short}`, "normal");
  await submit(demo, "high", `What matters most in an emergency? ${short}`, "high");
}

export async function submitConversation(demo: Demo): Promise<void> {
  demo.out.field("thread_id", CONVERSATION);
  const first = "My favourite colour is teal. Reply with one short sentence.";
  const second = "Which colour did I just tell you about?";
  await submit(demo, "turn 1", first, "normal", CONVERSATION);
  await submit(demo, "turn 2", second, "normal", CONVERSATION);
}

async function submit(
  demo: Demo,
  name: string,
  text: string,
  priority: Priority,
  threadId: string | null = null,
): Promise<void> {
  const { client, out, signal, exchanges } = demo;
  const thread = threadId === null ? {} : { thread_id: threadId };
  out.note(`${name}: ${text}`);
  const reply = await client.submit(text, { priority, ...thread }, { signal });
  const answer = exchanges.at(-1);
  demo.submissions.push({ name, text, priority, threadId, reply, audit: new StreamAudit() });

  const location = answer?.headers.get("Location") ?? "";
  out.field("message_id", reply.message_id);
  out.field("queue_position", reply.queue_position);
  out.check(answer?.status === 202, "accepted with 202", answer?.status);
  out.check(isText(reply.message_id), "a message_id is given", reply.message_id);
  out.check(
    isText(reply.message_id) && location.includes(reply.message_id),
    "the Location header leads to the message",
    location,
  );
  out.check(reply.state === "queued", "the state is queued", reply.state);
  out.check(isCount(reply.queue_position), "queue_position is a number", reply.queue_position);
  out.check(isTimestamp(reply.created_at), "created_at is UTC with ms", reply.created_at);
  checkThread(out, reply.thread_id, threadId);
}

function checkThread(out: Console, seen: string | null | undefined, wanted: string | null): void {
  if (wanted === null) out.check(seen == null, "it belongs to no thread", seen);
  else out.check(seen === wanted, "thread_id is echoed", seen);
}

export async function messageStatus({ client, out, signal, submissions }: Demo): Promise<void> {
  out.check(submissions.length === 5, "five messages were accepted", submissions.length);
  for (const { name, text, priority, threadId, reply } of submissions) {
    const status = await client.status(reply.message_id, { signal });
    const position = status.queue_position === null ? "" : `, position ${status.queue_position}`;
    out.field(name, `${status.state}${position}`);
    const same =
      status.message_id === reply.message_id &&
      status.user_message === text &&
      status.priority === priority &&
      status.created_at === reply.created_at &&
      (status.thread_id ?? null) === threadId;
    out.check(same, "it is the message that was sent", status);
    out.check(STATES.includes(status.state), "the state is a known one", status.state);
    out.check(
      status.state === "queued" ? isCount(status.queue_position) : status.queue_position === null,
      "it has a position if, and only if, it is queued",
      status.queue_position,
    );
  }
}

export async function queueSummary({ client, out, signal, submissions }: Demo): Promise<void> {
  const queue = await client.queue.get({}, { signal });
  const totals = {
    total_queued: queue.total_queued,
    total_processing: queue.total_processing,
    total_completed: queue.total_completed,
    total_failed: queue.total_failed,
    total_cancelled: queue.total_cancelled,
  };
  const ours = new Map(submissions.map(({ name, reply }) => [reply.message_id, name]));
  const named = (id: string): string => ours.get(id) ?? "somebody else's";
  for (const [name, value] of Object.entries(totals)) out.field(name, value);
  const { current_processing: current, queued_messages: waiting } = queue;
  out.field(
    "running",
    current === null ? "nothing" : `${named(current.id)}: ${current.user_message}`,
  );
  for (const { id, priority, user_message } of waiting.slice(0, 10)) {
    out.field(`waiting ${priority}`, `${named(id)}: ${user_message}`);
  }
  out.check(Object.values(totals).every(isCount), "all totals are counts", totals);
  out.check(
    waiting.length <= queue.total_queued,
    "no more messages are listed than are queued",
    `${waiting.length} of ${queue.total_queued}`,
  );
  out.check(
    waiting.every(
      (item) => isText(item.id) && isText(item.priority) && isTimestamp(item.created_at),
    ),
    "each waiting message has id, priority and created_at",
    waiting,
  );
  out.check(
    current === null || (isText(current.id) && isTimestamp(current.started_at)),
    "the running message, if any, has id and started_at",
    current,
  );
}

/**
 * A message can be picked up before the DELETE arrives, so it is put behind others of its own
 * thread: those run one after the other however many messages the server runs at a time.
 */
export async function cancelQueued(demo: Demo): Promise<void> {
  const { client, quietClient, out, signal } = demo;
  for (let attempt = 1; attempt <= CANCEL_TRIES; attempt += 1) {
    const thread_id = `ts-demo-cancel-${attempt}-${RUN}`;
    const send = (message: string): Promise<Accepted> =>
      quietClient.submit(message, { priority: "low", thread_id }, { signal });
    const ahead: Accepted[] = [];
    for (let count = 0; count < 2 * attempt; count += 1) ahead.push(await send("Say hello."));
    const victim = await send("Nobody will ever read this.");
    let cancelled = false;
    try {
      const reply = await remove(client, victim.message_id, signal);
      cancelled = true;
      out.field("message", reply.message);
      out.check(reply.message_id === victim.message_id, "the reply names the message", reply);
      out.check(isText(reply.message), "the reply says so in words", reply.message);
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
      out.note("it was already picked up, trying again behind more messages");
    }
    await tidyUp(demo, ahead);
    if (!cancelled) continue;
    out.note(`cancelled on try ${attempt}, behind ${ahead.length} others of its thread`);
    await checkCancelled(demo, victim.message_id);
    return;
  }
  out.check(false, `a queued message could be cancelled within ${CANCEL_TRIES} tries`);
}

/** Cancel a message while it is queued. `client.cancel` stops one that runs, too. */
export async function remove(
  client: AgentQ,
  messageId: string,
  signal: AbortSignal,
): Promise<{ message: string; message_id: string }> {
  const reply = await client.request("DELETE", `/messages/${messageId}`, { signal });
  return reply.json() as { message: string; message_id: string };
}

async function tidyUp({ quietClient, signal }: Demo, leftovers: Accepted[]): Promise<void> {
  for (const { message_id } of leftovers.reverse()) {
    try {
      await remove(quietClient, message_id, signal);
    } catch (error) {
      if (!(error instanceof Conflict)) throw error;
    }
  }
}

async function checkCancelled({ client, out, signal }: Demo, messageId: string): Promise<void> {
  const status = await client.status(messageId, { signal });
  out.check(status.state === "cancelled", "its status is cancelled", status.state);
  out.check(status.result === null, "it has no result", status.result);
  out.check(status.queue_position === null, "it left the queue", status.queue_position);
  const seen: string[] = [];
  for await (const event of client.follow(messageId, { signal })) seen.push(event.type);
  out.check(seen.at(-1) === "cancelled", "its stream ends with a cancelled event", seen);
}
