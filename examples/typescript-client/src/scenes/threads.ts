/** Threads as a whole: the list, one thread's metadata, its messages. */

import type { Schemas, ThreadSummary } from "agentq-client";

import { AWKWARD_THREAD, CONVERSATION, type Demo, isCount, isText, isTimestamp } from "./common.js";

const MAX_PAGES = 20;

export async function threads(demo: Demo): Promise<void> {
  const { client, out, signal } = demo;
  const turns = demo.submissions.filter(({ threadId }) => threadId === CONVERSATION);
  const last = turns.at(-1);
  const listed = await findThread(demo, CONVERSATION);
  if (out.check(listed !== undefined, "the thread is in the list") && listed && last) {
    for (const [name, value] of Object.entries(listed)) out.field(name, value);
    const preview = listed.last_message_preview.replace(/(…|\.{3})$/, "");
    out.check(
      listed.message_count === turns.length,
      "it counts two messages",
      listed.message_count,
    );
    out.check(
      isText(preview) && last.text.startsWith(preview),
      "it previews the last one",
      preview,
    );
  }

  const meta = await client.threads.get(CONVERSATION, { signal });
  out.field("states", meta.states);
  const counts = Object.values(meta.states);
  const sum = counts.reduce((total, count) => total + count, 0);
  const done = turns.filter(({ status }) => status?.state === "completed").length;
  out.check(meta.thread_id === CONVERSATION, "the metadata is this thread's", meta.thread_id);
  out.check(meta.message_count === turns.length, "message_count is two", meta.message_count);
  out.check(counts.every(isCount) && sum === meta.message_count, "states add up to it", sum);
  out.check(meta.states.completed === done, `${done} of them completed`, meta.states.completed);
  out.check(
    isTimestamp(meta.created_at) &&
      isTimestamp(meta.last_activity) &&
      Date.parse(meta.created_at) <= Date.parse(meta.last_activity),
    "created_at comes before last_activity",
    [meta.created_at, meta.last_activity],
  );

  const reply = await client.request("GET", `/threads/${encodeURIComponent(CONVERSATION)}/messages`, { signal });
  const history = reply.json() as Schemas["ThreadMessages"];
  for (const { user_message, result, error } of history.messages) {
    out.field("user", user_message);
    out.field("agent", result ?? error ?? "(nothing yet)");
  }
  const ids = (items: Array<{ message_id: string }>): string[] =>
    items.map((item) => item.message_id);
  const wanted = ids(turns.map(({ reply }) => reply));
  out.check(
    history.thread_id === CONVERSATION,
    "the messages are this thread's",
    history.thread_id,
  );
  out.check(
    history.total_messages === turns.length,
    "total_messages is two",
    history.total_messages,
  );
  out.check(
    JSON.stringify(ids(history.messages)) === JSON.stringify(wanted),
    "both messages are there, in the order they were sent",
    ids(history.messages),
  );
  out.check(
    history.messages.every(({ result }, at) => result === (turns[at]?.status?.result ?? null)),
    "with the results that were streamed",
  );

  const awkward = await client.threads.get(AWKWARD_THREAD, { signal });
  out.check(
    awkward.thread_id === AWKWARD_THREAD && awkward.message_count === 1,
    "a thread id full of / % # ? works in a path",
    awkward,
  );
}

async function findThread(
  { client, out, signal }: Demo,
  threadId: string,
): Promise<ThreadSummary | undefined> {
  let found: ThreadSummary | undefined;
  const times: number[] = [];
  let pages = 0;
  for await (const page of client.threads.list({}, { signal }).pages()) {
    times.push(...page.map((thread) => Date.parse(thread.last_activity)));
    found = page.find((thread) => thread.thread_id === threadId);
    pages += 1;
    if (found !== undefined || pages === MAX_PAGES) break;
  }
  const sorted = times.every((time, at) => at === 0 || time <= Number(times[at - 1]));
  out.check(sorted, "threads are listed by last activity, the latest first");
  return found;
}
