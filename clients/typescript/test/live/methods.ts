/**
 * The methods of the client against two real servers: `tsx test/live/methods.ts CHAT AGENTS`. The first one has the agent
 * `chat`. The second one has `approving`, which asks, `flaky`, which fails once, and `failing`, with one attempt each.
 */

import assert from "node:assert/strict";

import { MessageFailed, MessageInterrupted, isReplayed, type StreamEvent } from "../../src/index.js";
import { AgentQOperator } from "../../src/operators.js";

async function collect<T>(entries: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const entry of entries) found.push(entry);
  return found;
}

const [chat, agents] = process.argv.slice(2).map((url) => new AgentQOperator(url)) as [AgentQOperator, AgentQOperator];

async function conversation(): Promise<void> {
  const fields = { thread_id: "t", metadata: { team: "red" }, priority: "high" } as const;
  const message = await chat.run("Hello", fields);
  assert.deepEqual([message.result, message.state, message.priority], ["You said: Hello", "completed", "high"]);
  const stream = chat.stream("Bye", { thread_id: "t" });
  assert.equal((await collect(stream.textStream())).join(""), "You said: Bye");
  assert.deepEqual([stream.text, stream.end?.type, stream.state], ["You said: Bye", "done", "completed"]);
  assert.equal(stream.accepted?.message_id, stream.messageId);
  const seen = chat.follow(stream.messageId, { after: stream.lastEventId });
  assert.equal((await seen.untilDone()).result, "You said: Bye");
  const stored = await chat.storedEvents(stream.messageId, { after: 1 });
  const { at, ...last } = stored.at(-1)!; // streams do not tell when an event was stored
  assert.ok(at instanceof Date);
  assert.deepEqual(last, stream.end);
  const tagged = await collect(chat.messages({ metadata: { team: "red" } }));
  assert.deepEqual(
    tagged.map(({ message_id }) => message_id),
    [message.message_id],
  );
  const listed = await collect(chat.threads.messages("t", { limit: 1 }));
  assert.deepEqual(
    listed.map(({ message_id }) => message_id),
    [message.message_id, stream.messageId],
  );
  assert.equal((await chat.message(message.message_id)).message_id, message.message_id);
  assert.ok(JSON.stringify((await chat.threads.state("t")).values).includes("You said: Bye"));
  assert.ok((await collect(chat.threads.history("t", { limit: 1 }))).length >= 2);
  assert.equal((await chat.threads.fork("t", { thread_id: "u" })).thread_id, "u");
  assert.equal((await chat.threads.change("u", { name: "Fork" })).name, "Fork");
  const threads = await collect(chat.threads.list({ limit: 1 }));
  assert.deepEqual(threads.map(({ thread_id }) => thread_id).sort(), ["t", "u"]);
  await chat.threads.delete("u");
  await assert.rejects(chat.threads.get("u"), { name: "NotFound" });
  assert.equal((await chat.threads.create({ thread_id: "v" })).thread_id, "v");
  const again = await chat.regenerate(stream.messageId);
  assert.equal((await chat.follow(again.message_id).untilDone()).result, "You said: Bye");
}

async function server(): Promise<void> {
  const rows = await collect(chat.usage.list({ group_by: ["day", "model"] }));
  assert.equal(
    rows.reduce((sum, { calls }) => sum + calls, 0),
    3,
  );
  assert.equal((await chat.server.health()).status, "healthy");
  assert.ok((await chat.usage.csv()).startsWith("day,"));
  const [worker] = await chat.workers.list();
  assert.ok(worker);
  assert.notEqual((await chat.workers.drain(worker.id)).state, "active");
  assert.equal((await chat.workers.resume(worker.id)).state, "active");
  assert.equal((await chat.statistics.get()).counts["completed"], 3);
  assert.equal((await chat.server.doctor()).healthy, true);
  assert.ok((await chat.server.settings()).some(({ name }) => name === "DATABASE_URL"));
  assert.deepEqual(
    (await chat.agents.list()).map(({ name }) => name),
    ["chat"],
  );
  assert.ok((await chat.tickets.create()).ticket);
  assert.deepEqual(await collect(chat.deliveries.list()), []);
  const reply = await chat.request("GET", "/queue", { query: { limit: 1 } });
  assert.equal((reply.json() as { total_completed: number }).total_completed, 3);
}

async function operations(): Promise<void> {
  await chat.items.put(["users", "ada"], "food", { likes: "pasta" }, { ttl_minutes: 5 });
  assert.deepEqual((await chat.items.get(["users", "ada"], "food")).value, { likes: "pasta" });
  assert.equal((await collect(chat.items.search("users", { limit: 1 }))).length, 1);
  assert.deepEqual(await collect(chat.items.namespaces({ prefix: "users" })), [["users", "ada"]]);
  const changes = chat.changes.follow({ type: ["queue.paused", "queue.resumed"] });
  const types: string[] = [];
  for await (const { type } of changes) {
    types.push(type);
    if (type === "reset") await chat.queue.pause();
    else if (type === "queue.paused") await chat.queue.resume();
    else break;
  }
  assert.deepEqual(types, ["reset", "queue.paused", "queue.resumed"]);
  const { events } = await chat.changes.list({ type: ["queue.resumed"] });
  assert.equal(events[0]?.id, changes.lastEventId);
  const actions = (await collect(chat.audit.list())).map(({ action }) => action);
  assert.deepEqual(actions.slice(0, 3), ["queue.resume", "queue.pause", "item.put"]);
  assert.equal((await chat.server.caller()).tenant, "default");
}

async function waiting(): Promise<void> {
  assert.equal((await chat.queue.pause()).paused, true);
  const [first, second] = await chat.submitBatch(["a", { message: "b", priority: "low" }]);
  assert.ok(first && second);
  const late = chat.follow(second.message_id, { waitSeconds: 0.1 });
  await assert.rejects(late.untilDone(), { name: "WaitTimeout", messageId: second.message_id });
  assert.deepEqual([late.state, late.position], ["queued", 1]);
  assert.equal((await chat.setPriority(second.message_id, "high")).priority, "high");
  assert.equal((await chat.queue.get()).paused, true);
  const stream = chat.follow(second.message_id);
  const types: string[] = [];
  for await (const event of stream) {
    types.push(event.type);
    if (event.type === "waiting") await stream.cancel();
  }
  assert.deepEqual(types, ["waiting", "cancelled"]);
  await assert.rejects(chat.follow(second.message_id).untilDone(), { name: "MessageCancelled" });
  await assert.rejects(chat.cancelAll({ filter: { state: "queued" }, expected_count: 2 }), { name: "Conflict" });
  const { cancelled } = await chat.cancelAll({ filter: { state: "queued" }, expected_count: 1 });
  assert.deepEqual(cancelled, [first.message_id]);
  const options = { idempotencyKey: "order-7" };
  const [one, two] = [await chat.submit("Once", {}, options), await chat.submit("Once", {}, options)];
  assert.deepEqual([one.message_id, isReplayed(one), isReplayed(two)], [two.message_id, false, true]);
  await assert.rejects(chat.submit("Other", {}, options), { code: "idempotency_key_reused" });
  await chat.queue.resume();
  assert.equal((await chat.follow(one.message_id).untilDone()).result, "You said: Once");
}

async function questions(): Promise<void> {
  const asked = await agents.run("Hello", { agent: "approving", thread_id: "t" }).catch((error: unknown) => error);
  assert.ok(asked instanceof MessageInterrupted);
  assert.deepEqual(
    asked.questions.map(({ value }) => value),
    [{ question: "May I?" }],
  );
  const seen: StreamEvent["type"][] = [];
  const stream = agents.follow(asked.messageId);
  for await (const event of stream) {
    seen.push(event.type);
    if (event.type !== "interrupted") continue;
    const values = Object.fromEntries(event.questions.map(({ id }) => [id, "Yes."]));
    await agents.resume(stream.messageId, { values });
  }
  assert.ok(seen.indexOf("interrupted") < seen.indexOf("resumed") && seen.at(-1) === "done");
  const message = await agents.follow(asked.messageId).untilDone(); // although the log still has the question
  assert.equal(message.result, stream.text);
  await assert.rejects(agents.resume(asked.messageId, { value: "No." }), {
    code: "not_interrupted",
    state: "completed",
  });
  await agents.threads.updateState("t", { values: { messages: [{ role: "user", content: "One more." }] } });
  assert.ok(JSON.stringify((await agents.threads.state("t")).values).includes("One more."));
}

async function deadLetters(): Promise<void> {
  const failed = await agents.run("Hello", { agent: "flaky" }).catch((error: unknown) => error);
  assert.ok(failed instanceof MessageFailed && failed.code === "agent_error");
  const letters = await collect(agents.deadLetters.list({ agent: "flaky" }));
  assert.deepEqual(
    letters.map(({ message_id }) => message_id),
    [failed.messageId],
  );
  assert.equal((await agents.deadLetters.groups())[0]?.count, 1);
  const { requeued } = await agents.deadLetters.requeue({ message_ids: [failed.messageId] });
  assert.equal((await agents.follow(requeued[0]!.message_id).untilDone()).result, "It works.");
  await assert.rejects(agents.retry(failed.messageId), { code: "not_failed" });
  await assert.rejects(agents.run("Hello", { agent: "failing" }), { name: "MessageFailed" });
  const { purged } = await agents.deadLetters.purge({ filter: { agent: "failing" }, expected_count: 1 });
  assert.equal(purged.length, 1);
}

async function badRequests(): Promise<void> {
  await assert.rejects(chat.submit("Hello", { priority: "huge" as "high" }), (error) => {
    const { name, fields } = error as { name: string; fields: { field: string }[] };
    return name === "InvalidRequest" && fields.map(({ field }) => field).join() === "priority";
  });
  await assert.rejects(chat.status("nobody"), { code: "message_not_found" });
  await assert.rejects(chat.withOptions({ apiKey: "aq_wrong" }).queue.get(), { code: "invalid_api_key" });
  await assert.rejects(chat.request("GET", "/nowhere"), { name: "ServerTooOld" });
}

for (const scenario of [conversation, server, operations, waiting, questions, deadLetters, badRequests]) {
  await scenario();
  console.log(`${scenario.name}: as it should be`);
}
