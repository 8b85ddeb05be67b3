/** Bounds of the client: of a line, and of a silent stream; and how its streams end. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Following } from "../src/core/following.js";
import { BrokenStream } from "../src/core/reconnecting.js";
import { MAX_EVENT_CHARACTERS } from "../src/core/sse.js";
import { AgentQ, WaitTimeout, type StreamEvent } from "../src/index.js";
import { AgentQOperator } from "../src/operators.js";
import { MAX_REPLY_CHARACTERS } from "../src/transport.js";
import { MESSAGE_ID, ScriptedServer, TRANSCRIPTS, type Transcript } from "./scripted-server.js";

const HELD: Transcript = {
  about: "a stream that stays open",
  after: null,
  connections: Array.from({ length: 20 }, () => ({
    status: 200,
    headers: { "Content-Type": "text/event-stream" },
    body: ['retry: 1\nid: 1\nevent: processing\ndata: {"state": "processing", "attempt": 1}\n\n'],
    end: "hold",
  })),
  expected: { last_event_ids: [], events: [], text: "", text_stream: null, outcome: "" },
};

async function serve(t: { after: (stop: () => void) => void }, played: Transcript): Promise<AgentQ> {
  const server = new ScriptedServer(played);
  t.after(() => server.stop());
  return new AgentQ(await server.start(), { maxRetries: 0 });
}

test("a line without an end is not kept", () => {
  const state = new Following("m");
  state.opened(200, new Headers({ "content-type": "text/event-stream" }));
  const piece = new Uint8Array(MAX_EVENT_CHARACTERS / 4).fill(120);
  assert.throws(() => {
    for (let at = 0; at < 5; at += 1) assert.deepEqual(state.receive(piece), []);
  }, BrokenStream);
});

test("an event without an end is not kept", () => {
  const state = new Following("m");
  state.opened(200, new Headers({ "content-type": "Text/Event-Stream" }));
  const lines = [`data: ${"x".repeat(MAX_EVENT_CHARACTERS / 4)}\n`, "data\n".repeat(MAX_EVENT_CHARACTERS / 8)];
  for (const piece of lines.map((line) => new TextEncoder().encode(line))) {
    assert.throws(() => {
      for (let at = 0; at < 9; at += 1) assert.deepEqual(state.receive(piece), []);
    }, BrokenStream);
    state.opened(200, new Headers({ "content-type": "text/event-stream" }));
  }
});

test("a page of another program is no stream", () => {
  assert.throws(() => new Following("m").opened(200, new Headers({ "content-type": "text/html" })), BrokenStream);
});

test("a reply without an end is not kept", { timeout: 30_000 }, async () => {
  const piece = new Uint8Array(MAX_REPLY_CHARACTERS / 4).fill(32);
  let sent = 0;
  const body = (): ReadableStream<Uint8Array> =>
    new ReadableStream({
      pull(controller) {
        if (sent === 6) controller.close();
        else controller.enqueue(piece);
        sent += 1;
      },
    });
  const client = new AgentQ("http://queue.test", { maxRetries: 0, fetch: async () => new Response(body()) });
  await assert.rejects(client.server.health(), /more than 268435456 characters/);
  assert.ok(sent < 7);
});

test("a wait ends with its time, and the message goes on", { timeout: 10_000 }, async (t) => {
  const stream = (await serve(t, HELD)).follow(MESSAGE_ID, { waitSeconds: 0.1 });
  await assert.rejects(stream.untilDone(), (error) => error instanceof WaitTimeout && error.messageId === MESSAGE_ID);
});

test("a submit without a reply ends with the time of the wait", { timeout: 10_000 }, async () => {
  const hanging: typeof fetch = (_, init) =>
    new Promise((_, reject) => init?.signal?.addEventListener("abort", () => reject(init.signal?.reason)));
  const client = new AgentQ("http://queue.test", { fetch: hanging });
  await assert.rejects(client.run("Hello", {}, { waitSeconds: 0.05 }), { name: "ServerUnreachable", maybeDone: true });
});

test("an abort ends a silent stream with its reason", { timeout: 10_000 }, async (t) => {
  const controller = new AbortController();
  const reason = new Error("enough");
  const stream = (await serve(t, HELD)).follow(MESSAGE_ID, { signal: controller.signal });
  await assert.rejects(async () => {
    for await (const event of stream) {
      assert.equal(event.type, "processing");
      controller.abort(reason);
    }
  }, reason);
  const late = (await serve(t, HELD)).follow(MESSAGE_ID, { signal: controller.signal });
  await assert.rejects(late.untilDone(), reason);
});

test("closing a stream ends a reader who waits", { timeout: 10_000 }, async (t) => {
  const stream = (await serve(t, HELD)).follow(MESSAGE_ID);
  const seen: StreamEvent[] = [];
  for await (const event of stream) {
    seen.push(event);
    setImmediate(() => void stream.close());
  }
  assert.equal(seen.length, 1);
});

test("a stream that was started and closed leaves no timer", async (t) => {
  const { getActiveResourcesInfo } = process as unknown as { getActiveResourcesInfo: () => string[] };
  const timers = (): number => getActiveResourcesInfo().filter((each) => each === "Timeout").length;
  const before = timers();
  const stream = (await serve(t, HELD)).follow(MESSAGE_ID, { waitSeconds: 60 });
  await stream.start();
  assert.equal(timers(), before + 1);
  await stream.close();
  assert.equal(timers(), before);
});

test("a stream knows no message before its submit", async (t) => {
  const client = await serve(t, TRANSCRIPTS.get("plain_answer")!);
  assert.throws(() => client.stream("Hello").text, { name: "ConfigurationError" });
});

test("a time that no timer takes does not end at once", async () => {
  const slow = async (): Promise<Response> => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return new Response('{"paused": true}', { status: 200 });
  };
  const client = new AgentQOperator("http://queue.test", { timeoutSeconds: Infinity, maxRetries: 0, fetch: slow });
  assert.equal((await client.queue.pause()).paused, true);
});

test("an id that no number holds is none, and breaks the stream", () => {
  const state = new Following("m");
  state.opened(200, new Headers({ "content-type": "text/event-stream" }));
  const frame = `id: ${"9".repeat(400)}\nevent: processing\ndata: {"attempt": 1}\n\n`;
  assert.throws(() => state.receive(new TextEncoder().encode(frame)), BrokenStream);
});
