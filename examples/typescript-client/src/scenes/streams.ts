/** Watching answers appear, and reading them again. */

import type { Message, StreamEvent } from "agentq-client";

import { StreamAudit } from "../audit.js";
import { type Console, show } from "../console.js";
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
  let lastPosition: number | null | undefined;
  for await (const event of client.follow(reply.message_id, { signal })) {
    audit.see(event);
    if (event.type === "content") firstToken ??= elapsed();
    if (event.type === "waiting") {
      if (event.position === lastPosition) continue;
      lastPosition = event.position;
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
  switch (event.type) {
    case "waiting":
      out.note(`${at}: ${event.data.message}, position ${event.position}`);
      break;
    case "processing":
      out.note(`${at}: attempt ${event.attempt} has begun`);
      break;
    case "content":
      out.text(event.text);
      break;
    case "reasoning":
      out.text(event.text, true);
      break;
    case "discard":
      out.note(`${at}: what was said before is not the answer`);
      break;
    case "toolCall":
    case "toolResult":
      out.field(event.type, event.data.chunk);
      break;
    case "retry":
      out.note(`${at}: ${event.error}; next attempt at ${event.nextAt?.toISOString()}`);
      break;
    case "reset":
      out.note(`${at}: the log was cut, going on from here`);
      out.text(event.text);
      break;
    case "interrupted":
      out.note(`${at}: the agent asks a human: ${show(event.questions)}`);
      break;
    case "done":
      out.note(`${at}: done`);
      break;
    case "failed":
      out.note(`${at}: failed with ${event.code}: ${event.error}`);
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

function checkOutcome(out: Console, audit: StreamAudit, status: Message): void {
  const { terminal } = audit;
  if (terminal?.type !== "done") {
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
  const subject = demo.submissions.find(({ audit }) => audit.terminal?.type === "done");
  if (subject === undefined) {
    out.check(false, "there is a finished message to read again");
    return;
  }
  const live = subject.audit;
  const messageId = subject.reply.message_id;
  out.field("message", subject.name);

  const replay = await readOneConnection(demo, messageId);
  const ends = replay.names.filter((name) => ["done", "error", "cancelled"].includes(name));
  out.check(replay.closed, "the server closes the connection after the end");
  out.check(ends.length === 1, "there is exactly one terminal event", ends);
  out.check(replay.names.at(-1) === ends[0], "nothing comes after it", replay.names.at(-1));
  const same =
    replay.stored.size === live.stored.size &&
    [...live.stored].every(([id, data]) => replay.stored.get(id) === data);
  out.check(same, "a second reader sees the same events under the same ids");

  const middle = live.ids[Math.floor((live.ids.length - 1) / 2)] ?? null;
  const resumed = new StreamAudit();
  for await (const event of client.follow(messageId, { signal, after: middle })) {
    resumed.see(event);
  }
  out.field("resumed after", `event ${middle} of ${live.ids.length}`);
  out.check(
    JSON.stringify(resumed.ids) === JSON.stringify(live.ids.filter((id) => id > Number(middle))),
    "resuming brings exactly the rest",
    resumed.ids,
  );

  const end = live.ids.at(-1) ?? null;
  let more = 0;
  for await (const _ of client.follow(messageId, { signal, after: end })) more += 1;
  const answer = exchanges.at(-1);
  out.check(
    more === 0 && answer?.status === 204,
    "resuming after the last event gives 204 and nothing else",
    `${answer?.status}, ${more} events`,
  );
}

interface Connection {
  names: string[];
  /** The data of stored events as JSON, by id. */
  stored: Map<number, string>;
  closed: boolean;
}

/** One raw connection, read until the server closes it: the client would leave at the end. */
async function readOneConnection(
  { client, apiKey, fetch, signal }: Demo,
  messageId: string,
): Promise<Connection> {
  const found: Connection = { names: [], stored: new Map(), closed: false };
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
    const frames = (await response.text()).matchAll(/^id: (\d+)\nevent: (\w+)\ndata: (.*)$/gm);
    for (const [, id, name = "", data = ""] of frames) {
      found.names.push(name);
      found.stored.set(Number(id), JSON.stringify(JSON.parse(data)));
    }
    return { ...found, closed: true };
  } catch (error) {
    if (signal.aborted || !patience.signal.aborted) throw error;
    return found;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", giveUp);
  }
}
