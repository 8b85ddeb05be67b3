/** Each recorded stream means to this client what its transcript says. */

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";

import { AgentQ, AgentQError, type MessageStream } from "../src/index.js";
import { MESSAGE_ID, ScriptedServer, TRANSCRIPTS, type Transcript } from "./scripted-server.js";

async function follow(t: TestContext, played: Transcript): Promise<{ server: ScriptedServer; stream: MessageStream }> {
  const server = new ScriptedServer(played);
  const url = await server.start();
  const stream = new AgentQ(url, { maxRetries: 0 }).follow(MESSAGE_ID, { after: played.after });
  t.after(async () => {
    await stream.close();
    server.stop();
  });
  return { server, stream };
}

/** Return the code of the error that a reader gets, null if it gets none. */
async function codeOf(read: () => Promise<unknown>): Promise<string | null> {
  try {
    await read();
    return null;
  } catch (error) {
    if (error instanceof AgentQError) return error.code;
    throw error;
  }
}

const options = { concurrency: true, timeout: 60_000 };

for (const [name, played] of TRANSCRIPTS) {
  const { expected } = played;

  test(`${name}: its events are shown once`, options, async (t) => {
    const { server, stream } = await follow(t, played);
    const events: (number | string)[] = [];
    const positions: (number | null)[] = [];
    const code = await codeOf(async () => {
      for await (const event of stream) {
        events.push(event.id ?? event.type);
        positions.push(stream.position);
        if (events.length === expected.events.length && stream.state === "interrupted") break;
      }
    });
    assert.deepEqual(events, expected.events);
    if (expected.positions !== undefined) assert.deepEqual(positions, expected.positions);
    else assert.ok(positions.every((position) => position === null));
    assert.equal(stream.text, expected.text);
    assert.deepEqual(server.lastEventIds, expected.last_event_ids);
    assert.ok(code === null || code === expected.outcome, String(code));
  });

  test(`${name}: its text is read once`, options, async (t) => {
    if (expected.text_stream === null) {
      assert.equal(expected.outcome, "message_interrupted"); // its text stays open
      return;
    }
    const { stream } = await follow(t, played);
    const wanted =
      typeof expected.text_stream === "string" ? { before: expected.text_stream, error: null } : expected.text_stream;
    let before = "";
    const error = await codeOf(async () => {
      for await (const text of stream.textStream()) before += text;
    });
    assert.deepEqual({ before, error }, { ...wanted });
  });

  test(`${name}: a caller who waits for its end is told`, options, async (t) => {
    const { stream } = await follow(t, played);
    let state: string | undefined;
    const code = await codeOf(async () => ({ state } = await stream.untilDone()));
    assert.equal(code ?? state, expected.outcome);
  });
}

test("there are transcripts", () => {
  assert.ok(TRANSCRIPTS.size >= 30);
});
