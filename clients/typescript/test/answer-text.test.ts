/** The text of an answer after each event, and the text that is handed out once. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { AnswerText, TextFeed } from "../src/core/answer-text.js";
import { FrameReader } from "../src/core/sse.js";
import { toEvent, type StreamEvent } from "../src/events.js";
import { TextDiverged } from "../src/index.js";

function content(id: number, chunk: string, message = "a"): StreamEvent {
  return toEvent("chunk", id, { type: "content", chunk, index: 0, message });
}

function discard(id: number, from: number, kept: boolean): StreamEvent {
  return toEvent("chunk", id, { type: "discard", chunk: "", index: 0, message: "a", kept, discard_from: from });
}

function retry(id: number, from = 1): StreamEvent {
  return toEvent("retry", id, { state: "queued", attempt: 1, error: "Lost.", discard_from: from });
}

function done(id: number, result: string): StreamEvent {
  return toEvent("done", id, { state: "completed", result });
}

function reader(): (event: StreamEvent) => string {
  const [answer, feed] = [new AnswerText(), new TextFeed()];
  return (event) => feed.take(event, answer, answer.take(event));
}

test("a discard takes the text of its message alone, from where it says", () => {
  const answer = new AnswerText();
  for (const event of [content(2, "Kept. "), content(5, "Draft"), content(6, "Fact.", "b"), discard(7, 5, false)]) {
    answer.take(event);
  }
  assert.equal(answer.text, "Kept. Fact.");
});

test("a later attempt that differs is told at its first piece", () => {
  const take = reader();
  assert.deepEqual([content(2, "Blue"), retry(3)].map(take), ["Blue", ""]);
  assert.throws(() => take(content(5, "Red")), TextDiverged);
});

test("a later attempt that says less is told at the end", () => {
  const take = reader();
  assert.deepEqual([content(2, "One two"), retry(3), content(5, "One")].map(take), ["One two", "", ""]);
  assert.throws(() => take(done(6, "One")), TextDiverged);
});

test("a later attempt may cut its text elsewhere", () => {
  const take = reader();
  const events = [content(2, "One "), content(3, "two"), retry(4), content(6, "On"), content(7, "e two, three")];
  assert.deepEqual(events.map(take), ["One ", "two", "", "", ", three"]);
  assert.equal(take(done(8, "One two, three.")), ".");
});

test("a step that is kept stays shown", () => {
  const take = reader();
  assert.deepEqual([content(2, "Let me look. "), discard(3, 2, true), content(4, "Paris.", "b")].map(take), [
    "Let me look. ",
    "",
    "Paris.",
  ]);
  assert.equal(take(done(5, "Paris.")), "");
});

test("frames are the same wherever the bytes are cut, and for each line end", () => {
  const lines = ["retry: 10", ": ping", "id: 1", "event: chunk", "data: naïve 日本", "data: 👩‍🚀", "", "data:x", "", ""];
  for (const end of ["\n", "\r", "\r\n"]) {
    const bytes = new TextEncoder().encode(`\uFEFF${lines.join(end)}`);
    const wanted = [
      { event: "chunk", id: "1", data: "naïve 日本\n👩‍🚀" },
      { event: "message", id: "1", data: "x" },
    ];
    for (let at = 0; at <= bytes.length; at += 1) {
      const frames = new FrameReader();
      const found = [bytes.slice(0, at), bytes.slice(at)].flatMap((piece) => frames.feed(piece));
      assert.deepEqual([found, frames.retryMs], [wanted, 10], `cut at ${at} with ${JSON.stringify(end)}`);
    }
  }
});
