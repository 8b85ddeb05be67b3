import assert from "node:assert/strict";
import { test } from "node:test";

import { type SseMessage, SseParser, readSse } from "../src/sse.js";

function parse(text: string): SseMessage[] {
  return new SseParser().push(text);
}

function bodyOf(pieces: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(piece);
      controller.close();
    },
  });
}

async function collect(pieces: Uint8Array[]): Promise<SseMessage[]> {
  const messages: SseMessage[] = [];
  for await (const message of readSse(bodyOf(pieces))) messages.push(message);
  return messages;
}

test("a message has its event, id and data", () => {
  assert.deepEqual(parse('id: 7\nevent: chunk\ndata: {"index": 0}\n\n'), [
    { event: "chunk", id: "7", data: '{"index": 0}' },
  ]);
});

test("without an event field it is a message, without an id field it has no id", () => {
  assert.deepEqual(parse("id: 1\ndata: a\n\ndata: b\n\n"), [
    { event: "message", id: "1", data: "a" },
    { event: "message", data: "b" },
  ]);
});

test("data lines are joined, and one leading space is dropped", () => {
  assert.deepEqual(parse("data:one\ndata:  two\ndata\ndata: \n\n"), [
    { event: "message", data: "one\n two\n\n" },
  ]);
});

test("comments, unknown fields and blank lines mean nothing", () => {
  assert.deepEqual(parse(": ping\n\n\n\nfoo: bar\nevent: ghost\n\ndata: x\n\n"), [
    { event: "message", data: "x" },
  ]);
});

test("LF, CR and CRLF all end lines, mixed at will", () => {
  const wanted = [
    { event: "a", data: "1\n2" },
    { event: "b", data: "3" },
  ];
  for (const end of ["\n", "\r", "\r\n"]) {
    const lines = ["event: a", "data: 1", "data: 2", "", "event: b", "data: 3", "", ""];
    assert.deepEqual(parse(lines.join(end)), wanted, JSON.stringify(end));
  }
  assert.deepEqual(parse("event: a\rdata: 1\r\ndata: 2\n\revent: b\ndata: 3\r\r\n"), wanted);
});

test("a CR ends its line at once, and an LF in the next piece does not end another", () => {
  const parser = new SseParser();
  assert.deepEqual(parser.push("data: a\r\n\r"), [{ event: "message", data: "a" }]);
  assert.deepEqual(parser.push("\ndata: b\r"), []);
  assert.deepEqual(parser.push(""), []);
  assert.deepEqual(parser.push("\ndata: c\n\n"), [{ event: "message", data: "b\nc" }]);
});

test("one byte order mark is dropped, and only at the very start", () => {
  assert.deepEqual(parse("\uFEFFdata: a\n\n\uFEFFdata: b\n\ndata: \uFEFFc\n\n"), [
    { event: "message", data: "a" },
    { event: "message", data: "\uFEFFc" },
  ]);
});

test("retry takes digits only", () => {
  const parser = new SseParser();
  parser.push("retry: 250\nretry: 3s\nretry: -1\nretry:\n");
  assert.equal(parser.retryMs, 250);
});

test("an id counts from its blank line on, even without data", () => {
  const parser = new SseParser("3");
  parser.push("id: 4\ndata: cut o");
  assert.equal(parser.lastEventId, "3");
  parser.push("ff\n\nid: 5\n\n");
  assert.equal(parser.lastEventId, "5");
  parser.push("id: 6\0\ndata: x\n\n");
  assert.equal(parser.lastEventId, "5");
  parser.push("id\ndata: x\n\n");
  assert.equal(parser.lastEventId, "");
});

test("cutting anywhere, even inside a character, changes nothing", async () => {
  const text =
    "\uFEFFretry: 10\r\n: ping ü\r\n\r\n" +
    "id: 1\r\nevent: chunk\r\ndata: naïve 日本\r\ndata: 👩‍🚀 \uFEFF end\r\n\r\n" +
    "id: 2\revent: done\rdata: €\r\rdata: last\n\n";
  const wanted = parse(text);
  assert.equal(wanted.length, 3);
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at <= bytes.length; at += 1) {
    assert.deepEqual(await collect([bytes.slice(0, at), bytes.slice(at)]), wanted, `cut at ${at}`);
  }
  assert.deepEqual(await collect(Array.from(bytes, (byte) => Uint8Array.of(byte))), wanted);
});

test("a message that was cut off is not delivered", async () => {
  const bytes = new TextEncoder().encode("data: whole\n\ndata: half\n");
  assert.deepEqual(await collect([bytes]), [{ event: "message", data: "whole" }]);
});

test("leaving the loop closes the body", async () => {
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new TextEncoder().encode("data: x\n\n")),
    cancel: () => {
      cancelled = true;
    },
  });
  for await (const message of readSse(body)) {
    assert.equal(message.data, "x");
    break;
  }
  assert.equal(cancelled, true);
});
