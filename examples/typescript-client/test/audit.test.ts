import assert from "node:assert/strict";
import { test } from "node:test";

import { StreamAudit } from "../src/audit.js";
import type { StreamEvent } from "../src/types.js";

function audit(...events: StreamEvent[]): StreamAudit {
  const result = new StreamAudit();
  for (const event of events) result.see(event);
  return result;
}

function processing(id: number, attempt = 1): StreamEvent {
  return { event: "processing", id: String(id), data: { state: "processing", attempt } };
}

function chunk(id: number, index: number, text: string): StreamEvent {
  return { event: "chunk", id: String(id), data: { type: "content", chunk: text, index } };
}

function done(id: number, result: string): StreamEvent {
  const data = { state: "completed", result, completed_at: "" } as const;
  return { event: "done", id: String(id), data };
}

test("a sound stream passes", () => {
  const seen = audit(processing(1), chunk(2, 0, "a"), chunk(3, 1, "b"), done(4, "ab"));
  assert.ok(seen.idsAscend() && seen.idsHaveNoGap() && seen.resultMatches("ab"));
  assert.deepEqual(seen.misnumbered, []);
  assert.equal(seen.terminals.length, 1);
});

test("what a failed attempt showed is dropped", () => {
  const retry: StreamEvent = {
    event: "retry",
    id: "3",
    data: { attempt: 1, error: "x", next_at: "", discard_from: 2 },
  };
  const seen = audit(processing(1), chunk(2, 0, "bad"), retry, processing(4, 2), chunk(5, 0, "ok"));
  assert.equal(seen.content, "ok");
  assert.equal(seen.chunks, 1);
  assert.deepEqual(seen.misnumbered, []);
});

test("what was taken back is no part of the result", () => {
  const text = (id: number, index: number, message: string, chunk: string): StreamEvent => {
    return { event: "chunk", id: String(id), data: { type: "content", chunk, index, message } };
  };
  const discard: StreamEvent = {
    event: "chunk",
    id: "5",
    data: { type: "discard", chunk: "", index: 3, message: "a", kept: false, discard_from: 2 },
  };
  const events = [text(2, 0, "a", "dra"), text(3, 1, "b", "answer"), text(4, 2, "a", "ft"), discard];
  assert.ok(audit(processing(1), ...events, done(6, "answer")).resultMatches("answer"));
});

test("gaps, doubles and a life after the end are seen", () => {
  assert.equal(audit(chunk(1, 0, "a"), chunk(3, 1, "b")).idsHaveNoGap(), false);
  assert.equal(audit(chunk(2, 0, "a"), chunk(2, 1, "b")).idsAscend(), false);
  assert.deepEqual(audit(chunk(1, 0, "a"), chunk(2, 2, "b")).misnumbered, ["2 instead of 1"]);
  assert.equal(audit(chunk(1, 0, "a"), done(2, "b")).resultMatches("b"), false);
  assert.deepEqual(audit(done(1, "a"), done(2, "a")).afterTheEnd, ["done"]);
});

test("after a reset the text is taken over and counting begins anew", () => {
  const reset: StreamEvent = { event: "reset", id: "40", data: { text: "so far, " } };
  const seen = audit(reset, chunk(41, 17, "so "), chunk(42, 18, "good"), done(43, ""));
  assert.equal(seen.content, "so far, so good");
  assert.deepEqual(seen.misnumbered, []);
  assert.ok(seen.idsHaveNoGap() && seen.idsAscend());
});
