import assert from "node:assert/strict";
import { test } from "node:test";

import type { StreamEvent } from "agentq-client";

import { StreamAudit } from "../src/audit.js";

function audit(...events: StreamEvent[]): StreamAudit {
  const result = new StreamAudit();
  for (const event of events) result.see(event);
  return result;
}

/** An event with the fields that the audit looks at. */
function event(type: StreamEvent["type"], id: number | null, fields: object): StreamEvent {
  return { type, id, data: fields, ...fields } as unknown as StreamEvent;
}

function processing(id: number, attempt = 1): StreamEvent {
  return event("processing", id, { attempt });
}

function chunk(id: number, index: number, text: string, message: string | null = null): StreamEvent {
  return event("content", id, { index, text, message });
}

function done(id: number, text: string): StreamEvent {
  return event("done", id, { text });
}

test("a sound stream passes", () => {
  const seen = audit(processing(1), chunk(2, 0, "a"), chunk(3, 1, "b"), done(4, "ab"));
  assert.ok(seen.idsAscend() && seen.idsHaveNoGap() && seen.resultMatches("ab"));
  assert.deepEqual(seen.misnumbered, []);
  assert.equal(seen.terminals.length, 1);
});

test("what a failed attempt showed is dropped", () => {
  const retry = event("retry", 3, { attempt: 1, error: "x", discardFrom: 2 });
  const seen = audit(processing(1), chunk(2, 0, "bad"), retry, processing(4, 2), chunk(5, 0, "ok"));
  assert.equal(seen.content, "ok");
  assert.equal(seen.chunks, 1);
  assert.deepEqual(seen.misnumbered, []);
});

test("what was taken back is no part of the result", () => {
  const discard = event("discard", 5, { index: 3, message: "a", kept: false, discardFrom: 2 });
  const texts = [chunk(2, 0, "dra", "a"), chunk(3, 1, "answer", "b"), chunk(4, 2, "ft", "a")];
  const events = [...texts, discard];
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
  const reset = event("reset", null, { text: "so far, " });
  const seen = audit(reset, chunk(41, 17, "so "), chunk(42, 18, "good"), done(43, ""));
  assert.equal(seen.content, "so far, so good");
  assert.deepEqual(seen.misnumbered, []);
  assert.ok(seen.idsHaveNoGap() && seen.idsAscend());
});
