/** Watching answers appear, and reading them again. */

import { StreamAudit } from "../audit.js";
import { toStreamEvent } from "../client.js";
import { type Console, show } from "../console.js";
import { readSse } from "../sse.js";
import type { MessageStatus, StreamEvent } from "../types.js";
import { type Demo, type Submission, isText, isTimestamp } from "./common.js";

const CLOSE_WITHIN_MS = 15_000;

export async function streamAnswers(demo: Demo): Promise<void> {
  const { client, out, signal, submissions } = demo;
  for (const waiting = new Set(submissions); waiting.size > 0;) {
    const submission = await nearestToTheFront(demo, waiting);
    waiting.delete(submission);
    out.note(`${submission.name}: ${submission.text}`);
    await follow(demo, submission);
    checkStream(out, submission.audit);
    const status = await client.status(submission.reply.message_id, { signal });
    submission.status = status;
    checkOutcome(out, submission.audit, status);
  }
}

/** The order in which the queue will get to them, so that each is watched while it happens. */
async function nearestToTheFront(
  { quietClient, signal }: Demo,
  waiting: ReadonlySet<Submission>,
): Promise<Submission> {
  const places = await Promise.all(
    [...waiting].map(async (submission) => {
      const status = await quietClient.status(submission.reply.message_id, { signal });
      return { submission, place: status.queue_position ?? -1 };
    }),
  );
  return places.reduce((best, other) => (other.place < best.place ? other : best)).submission;
}

async function follow({ client, out, signal }: Demo, { reply, audit }: Submission): Promise<void> {
  const startedAt = performance.now();
  const elapsed = (): string => `${Math.round(performance.now() - startedAt)} ms`;
  let firstToken: string | undefined;
  let lastPosition: number | undefined;
  for await (const event of client.stream(reply.message_id, { signal })) {
    audit.see(event);
    if (event.event === "chunk") firstToken ??= elapsed();
    if (event.event === "waiting") {
      if (event.data.position === lastPosition) continue;
      lastPosition = event.data.position;
    }
    narrate(out, event, elapsed());
    if (audit.wasInterrupted) break; // it would wait for an answer that this demo cannot give
  }
  out.field("chunks", audit.chunks);
  out.field("events with an id", audit.ids.length);
  out.field("first token after", firstToken ?? "never");
  out.field("end after", elapsed());
}

function narrate(out: Console, event: StreamEvent, at: string): void {
  switch (event.event) {
    case "waiting":
      out.note(`${at}: ${event.data.message}, position ${event.data.position}`);
      break;
    case "processing":
      out.note(`${at}: attempt ${event.data.attempt} has begun`);
      break;
    case "chunk": {
      const { type, chunk } = event.data;
      if (type === "content") out.text(chunk);
      else if (type === "reasoning") out.text(chunk, true);
      else if (type === "discard") out.note(`${at}: what was said before is not the answer`);
      else out.field(type, chunk);
      break;
    }
    case "retry":
      out.note(`${at}: ${event.data.error}; next attempt at ${event.data.next_at}`);
      break;
    case "reset":
      out.note(`${at}: the log was cut, going on from here`);
      out.text(event.data.text ?? "");
      break;
    case "interrupted":
      out.note(`${at}: the agent asks a human: ${show(event.data)}`);
      break;
    case "done":
      out.note(`${at}: done`);
      break;
    case "error":
      out.note(`${at}: failed with ${event.data.code}: ${event.data.error}`);
      break;
    case "cancelled":
      out.note(`${at}: cancelled`);
      break;
  }
}

function checkStream(out: Console, audit: StreamAudit): void {
  out.check(audit.ids.length > 0 && audit.idsAscend(), "event ids strictly ascend", audit.ids);
  out.check(audit.idsHaveNoGap(), "event ids are 1, 2, 3 … without a gap", audit.ids);
  out.check(
    audit.misnumbered.length === 0,
    "chunk indexes are contiguous within the attempt",
    audit.misnumbered,
  );
  out.check(audit.terminal !== undefined, "the stream came to an end by itself");
}

function checkOutcome(out: Console, audit: StreamAudit, status: MessageStatus): void {
  const { terminal } = audit;
  if (terminal?.event !== "done") {
    out.check(false, "the message was completed", terminal?.data ?? "no terminal event");
    return;
  }
  const { result, completed_at } = terminal.data;
  const started = Date.parse(status.started_at ?? "");
  out.check(terminal.data.state === "completed", "done says completed", terminal.data.state);
  out.check(isText(result) && isText(result.trim()), "the answer is not empty", result);
  out.check(audit.resultMatches(result), "the chunks add up to the result", {
    chunks: audit.content,
    result,
  });
  out.check(status.state === "completed", "the status is completed", status.state);
  out.check(status.result === result, "the status has the same result", status.result);
  out.check(status.error === null, "the status has no error", status.error);
  out.check(
    isTimestamp(status.completed_at) && status.completed_at === completed_at,
    "status and stream agree on completed_at",
    status.completed_at,
  );
  out.check(
    Date.parse(status.created_at) <= started && started <= Date.parse(completed_at),
    "created, started and completed in that order",
    [status.created_at, status.started_at, completed_at],
  );
}

export async function whoWentFirst({ out, submissions }: Demo): Promise<void> {
  const started = ({ status }: Submission): number => Date.parse(status?.started_at ?? "");
  const known = submissions.filter((item) => !Number.isNaN(started(item)));
  for (const { name, status } of [...known].sort((a, b) => started(a) - started(b))) {
    out.field(String(status?.started_at), name);
  }
  const find = (name: string): Submission | undefined => known.find((item) => item.name === name);
  const [low, normal, high] = [find("low"), find("normal"), find("high")];
  compareStarts(out, high, normal, started);
  compareStarts(out, high, low, started);
  compareStarts(out, normal, low, started);
  const [turn1, turn2] = [find("turn 1"), find("turn 2")];
  if (turn1?.status === undefined || turn2?.status === undefined) return;
  out.check(
    Date.parse(turn1.status.completed_at ?? "") <= started(turn2),
    "the second turn of the thread began after the first had ended",
    [turn1.status.completed_at, turn2.status.started_at],
  );
}

/** Overtaking is only due where both were waiting, and a retry moves a start: tell, don't judge. */
function compareStarts(
  out: Console,
  urgent: Submission | undefined,
  other: Submission | undefined,
  started: (item: Submission) => number,
): void {
  if (urgent === undefined || other === undefined) return;
  const margin = 1_000;
  const waitedTogether = started(other) - Date.parse(urgent.reply.created_at) > margin;
  if (urgent.audit.attempt > 1 || other.audit.attempt > 1 || !waitedTogether) {
    out.note(`${urgent.name} and ${other.name} did not wait side by side, nothing to compare`);
    return;
  }
  const held = started(urgent) <= started(other);
  out.check(held, `${urgent.name} was served before ${other.name}`);
}

export async function replayAndResume(demo: Demo): Promise<void> {
  const { client, out, signal, exchanges } = demo;
  const subject = demo.submissions.find(({ audit }) => audit.terminal?.event === "done");
  if (subject === undefined) {
    out.check(false, "there is a finished message to read again");
    return;
  }
  const live = subject.audit;
  const messageId = subject.reply.message_id;
  out.field("message", subject.name);

  const replay = await readOneConnection(demo, messageId);
  out.check(replay.closed, "the server closes the connection after the end");
  out.check(replay.audit.terminals.length === 1, "there is exactly one terminal event");
  out.check(
    replay.audit.afterTheEnd.length === 0,
    "nothing comes after it",
    replay.audit.afterTheEnd,
  );
  const same =
    replay.audit.stored.size === live.stored.size &&
    [...live.stored].every(([id, event]) => replay.audit.stored.get(id) === event);
  out.check(same, "a second reader sees the same events under the same ids");

  const middle = live.ids[Math.floor((live.ids.length - 1) / 2)] ?? "";
  const resumed = new StreamAudit();
  for await (const event of client.stream(messageId, { signal, lastEventId: middle })) {
    resumed.see(event);
  }
  out.field("resumed after", `event ${middle} of ${live.ids.length}`);
  out.check(
    JSON.stringify(resumed.ids) === JSON.stringify(live.ids.slice(live.ids.indexOf(middle) + 1)),
    "resuming brings exactly the rest",
    resumed.ids,
  );

  const end = live.ids.at(-1) ?? "";
  let more = 0;
  for await (const _ of client.stream(messageId, { signal, lastEventId: end })) more += 1;
  const answer = exchanges.at(-1);
  out.check(
    more === 0 && answer?.status === 204,
    "resuming after the last event gives 204 and nothing else",
    `${answer?.status}, ${more} events`,
  );
}

/** One raw connection, read until the server closes it: the client would leave at the end. */
async function readOneConnection(
  { client, apiKey, fetch, signal }: Demo,
  messageId: string,
): Promise<{ audit: StreamAudit; closed: boolean }> {
  const audit = new StreamAudit();
  const patience = new AbortController();
  const giveUp = (): void => patience.abort();
  const timer = setTimeout(giveUp, CLOSE_WITHIN_MS);
  signal.addEventListener("abort", giveUp, { once: true });
  try {
    const response = await fetch(`${client.baseUrl}/messages/${messageId}/stream`, {
      headers: {
        Accept: "text/event-stream",
        ...(apiKey === undefined ? {} : { Authorization: `Bearer ${apiKey}` }),
      },
      signal: patience.signal,
    });
    if (response.body === null) return { audit, closed: true };
    for await (const message of readSse(response.body as ReadableStream<Uint8Array>)) {
      const event = toStreamEvent(message);
      if (event !== undefined) audit.see(event);
    }
    return { audit, closed: true };
  } catch (error) {
    if (signal.aborted || !patience.signal.aborted) throw error;
    return { audit, closed: false };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", giveUp);
  }
}
