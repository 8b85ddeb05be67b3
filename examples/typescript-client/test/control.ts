/**
 * What steers messages, against a real server: `tsx test/control.ts NAME`. Its agents are `steps`, which pauses before
 * its second step, `asking`, which asks and answers with what it was told, and `flaky`, which fails the first time.
 */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";

import { AgentQueueClient, AgentQueueError } from "../src/client.js";
import type { StreamEvent } from "../src/types.js";

const queue = new AgentQueueClient(process.env.AGENT_QUEUE_URL ?? "http://localhost:8000");

async function collect(messageId: string): Promise<StreamEvent[]> {
  const seen: StreamEvent[] = [];
  for await (const event of queue.stream(messageId)) seen.push(event);
  return seen;
}

async function first<Name extends StreamEvent["event"]>(
  messageId: string,
  name: Name,
): Promise<Extract<StreamEvent, { event: Name }>> {
  for await (const event of queue.stream(messageId)) {
    if (event.event === name) return event as Extract<StreamEvent, { event: Name }>;
  }
  throw new Error(`the stream of ${messageId} has no ${name}`);
}

const scenarios: Record<string, () => Promise<void>> = {
  async agent() {
    const reply = await queue.submit({ message: "Hello", agent: "asking" });
    assert.equal(reply.agent, "asking");
    await first(reply.message_id, "interrupted");
    assert.equal((await queue.status(reply.message_id)).agent, "asking");
    await assert.rejects(queue.submit({ message: "Hello", agent: "nobody" }), { status: 422 });
  },

  async resume() {
    const { message_id } = await queue.submit({ message: "Hello", agent: "asking" });
    const asked = await first(message_id, "interrupted");
    const [question, ...others] = asked.data.interrupts;
    assert.deepEqual([question?.value, others], [{ question: "May I?" }, []]);
    const status = await queue.status(message_id);
    assert.deepEqual([status.state, status.interrupts], ["interrupted", asked.data.interrupts]);
    assert.equal(status.interrupt_expires_at, asked.data.expires_at);

    const key = { idempotencyKey: randomUUID() };
    const answer = { values: { [question?.id ?? ""]: "You may." } };
    const reply = await queue.resume(message_id, answer, key);
    assert.deepEqual([reply.message_id, reply.state], [message_id, "queued"]);
    const seen = await collect(message_id);
    assert.ok(seen.some(({ event }) => event === "resumed"));
    const end = seen.at(-1);
    assert.equal(end?.event === "done" && end.data.result, "You may.");
    assert.deepEqual(await queue.resume(message_id, answer, key), reply);
    await assert.rejects(queue.resume(message_id, { value: "Again." }), {
      status: 409,
      code: "not_interrupted",
    });
  },

  async retry() {
    const request = { message: "Hello", agent: "flaky", max_attempts: 1 };
    const { message_id } = await queue.submit(request);
    assert.equal((await collect(message_id)).at(-1)?.event, "error");
    const reply = await queue.retry(message_id);
    assert.deepEqual([reply.message_id, reply.state], [message_id, "queued"]);
    const end = (await collect(message_id)).at(-1);
    assert.ok(end?.event === "done" && end.data.result.includes("It works."));
    await assert.rejects(queue.retry(message_id), { status: 409, code: "not_failed" });
  },

  async batch() {
    const thread_id = randomUUID();
    const requests = ["One", "Two"].map((message) => ({ message, thread_id, agent: "asking" }));
    const key = { idempotencyKey: randomUUID() };
    const { messages } = await queue.submitBatch(requests, key);
    const ids = messages.map(({ message_id }) => message_id);
    const listed = (await queue.threadMessages(thread_id)).messages;
    assert.deepEqual(
      listed.map(({ message_id, user_message }) => [message_id, user_message]),
      [
        [ids[0], "One"],
        [ids[1], "Two"],
      ],
    );
    const again = await queue.submitBatch(requests, key);
    assert.deepEqual(
      again.messages.map(({ message_id }) => message_id),
      ids,
    );
    await assert.rejects(queue.submitBatch([{ message: "Three" }, { message: "" }]), {
      status: 422,
    });
  },

  async cancelRunning() {
    const { message_id } = await queue.submit({ message: "Hello", agent: "steps" });
    await first(message_id, "chunk");
    await assert.rejects(queue.cancel(message_id), AgentQueueError);
    const reply = await queue.cancelRunning(message_id);
    assert.deepEqual([reply.message_id, reply.state], [message_id, "processing"]);
    assert.equal((await collect(message_id)).at(-1)?.event, "cancelled");
    assert.equal((await queue.status(message_id)).state, "cancelled");
    const waiting = await queue.submit({ message: "Hello", agent: "asking", delay_seconds: 600 });
    assert.equal((await queue.cancelRunning(waiting.message_id)).state, "cancelled");
  },
};

const name = process.argv[2] ?? "";
const scenario = scenarios[name];
assert.ok(scenario, `one of ${Object.keys(scenarios)}`);
await scenario();
console.log(`${name}: as it should be`);
