/** The stream of changes: each change once, over as many connections as it takes, and an error when nothing comes. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { AgentQOperator, ChangesLost } from "../src/operators.js";
import { FakeServer, problem, type Answer } from "./servers.js";

const CURSOR = "id: x-3\nevent: cursor\ndata: {}\n\n";
const RESET = 'id: x-1\nevent: reset\ndata: {"reason": "start"}\n\n';
const LATER = "id: x-2\nevent: mood\ndata: {}\n\n";

function change(number: number): string {
  const data = { type: "message.accepted", at: "2026-11-29T10:00:00.000Z", message_id: `m${number}` };
  return `id: x-${number}\nevent: change\ndata: ${JSON.stringify(data)}\n\n`;
}

function events(body = ""): Response {
  return new Response(`retry: 1\n\n${body}`, { headers: { "content-type": "text/event-stream" } });
}

/** Return the ids that a reader gets until there are `count`, and the `Last-Event-ID` of each request. */
async function read(answers: Answer[], count: number, after?: string): Promise<[string[], (string | null)[]]> {
  const server = new FakeServer(...answers);
  const stream = server.client().changes.follow({ type: ["message.accepted"] }, { after });
  const seen: string[] = [];
  for await (const event of stream) {
    assert.equal(event.id, stream.lastEventId);
    assert.equal(event.type, event.id === "x-1" ? "reset" : "message.accepted");
    seen.push(event.id);
    if (seen.length === count) break;
  }
  assert.ok(server.requests.every(({ url }) => url === "http://queue.test/events?type=message.accepted"));
  return [seen, server.requests.map(({ headers }) => headers.get("last-event-id"))];
}

test("it continues after what it has had", async () => {
  const cut = events(`${RESET}${LATER}${change(2)}id: x-9\nevent: chan`);
  const answers = [cut, events(CURSOR), problem(503, "x"), new Response("<html>"), events(change(4) + change(5))];
  assert.deepEqual(await read(answers, 4), [
    ["x-1", "x-2", "x-4", "x-5"],
    [null, "x-2", "x-3", "x-3", "x-3"],
  ]);
});

test("a change that cannot be read is asked for again", async () => {
  for (const data of ["[", "[]", "7", '{"type": 7}']) {
    const broken = events(`id: x-6\nevent: change\ndata: ${data}\n\n`);
    assert.deepEqual(await read([broken, events(change(6))], 1, "x-5"), [["x-6"], ["x-5", "x-5"]]);
  }
});

test("connections that bring nothing end it", async () => {
  const server = new FakeServer(events(change(2)), ...Array.from({ length: 8 }, () => events()));
  const stream = server.client().changes.follow();
  await assert.rejects(
    async () => {
      for await (const { id } of stream) assert.equal(id, "x-2");
    },
    (error) => error instanceof ChangesLost && error.lastEventId === "x-2",
  );
  assert.equal(server.requests.length, 9);
});

test("a refusal that stays is thrown", async () => {
  const server = new FakeServer(problem(403, "insufficient_scope"));
  await assert.rejects(server.client().changes.follow()[Symbol.asyncIterator]().next(), { name: "PermissionDenied" });
  assert.equal(server.requests.length, 1);
});

/** Answer a request with a stream that stays open until the client leaves. */
const holding: typeof fetch = async (_, init) =>
  new Response(
    new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(RESET));
        init?.signal?.addEventListener("abort", () => controller.error(init.signal?.reason));
      },
    }),
    { headers: { "content-type": "text/event-stream" } },
  );

test("closing it ends a reader who waits, and an abort throws its reason", async () => {
  const client = new AgentQOperator("http://queue.test", { fetch: holding });
  const closed = client.changes.follow();
  for await (const { type } of closed) {
    assert.equal(type, "reset");
    setImmediate(() => void closed.close());
  }
  const controller = new AbortController();
  const reason = new Error("enough");
  await assert.rejects(async () => {
    for await (const { type } of client.changes.follow({}, { signal: controller.signal })) {
      assert.equal(type, "reset");
      setImmediate(() => controller.abort(reason));
    }
  }, reason);
});
