/** The React hooks in a document: they show a message and a thread as they are written, and let go of what is gone. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { createElement, type FunctionComponent } from "react";

import type { AgentQ } from "../src/index.js";
import { AgentQ as Client } from "../src/index.js";
import { useMessage, useThread, type ThreadView } from "../src/react.js";
import { json, problem } from "./servers.js";

/** The part of happy-dom that the test uses. Its own types are 55,000 lines, which each check of the types would read. */
interface TestWindow {
  document: Document;
  navigator: Navigator;
  close(): void;
}

const happyDom: string = "happy-dom";
const { Window } = (await import(happyDom)) as { Window: new () => TestWindow };
const window = new Window();
for (const [name, value] of Object.entries({ window, document: window.document, navigator: window.navigator })) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}
const { createRoot } = await import("react-dom/client");
after(() => window.close());

/** A stream that the test writes to while a hook reads it. */
class Live {
  readonly #opened: ((controller: ReadableStreamDefaultController<Uint8Array>) => void)[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array> | null = null;
  isLeft = false;

  respond(signal: AbortSignal | null | undefined): Response {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
        for (const opened of this.#opened.splice(0)) opened(controller);
        signal?.addEventListener("abort", () => {
          this.isLeft = true;
          controller.error(signal.reason);
        });
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }

  async send(id: number, event: string, data: object): Promise<void> {
    const controller = this.#controller ?? (await new Promise((resolve) => this.#opened.push(resolve)));
    const frame = `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
    (controller as ReadableStreamDefaultController<Uint8Array>).enqueue(new TextEncoder().encode(frame));
  }

  processing = () => this.send(1, "processing", { state: "processing", attempt: 1 });
  content = (id: number, chunk: string) => this.send(id, "chunk", { type: "content", chunk, index: id });
  done = (id: number, result: string) => this.send(id, "done", { state: "completed", result });
}

type Listing = () => Response;

/** A server whose streams are `Live` ones, by the ids of their messages. */
function serve(streams: Record<string, Live>, listing: Listing = () => problem(404, "thread_not_found")): AgentQ {
  let submitted = 0;
  const fetch: typeof globalThis.fetch = async (input, init) => {
    const [, kind, id, verb] = new URL(String(input)).pathname.split("/");
    if (verb === "stream") return streams[id!]?.respond(init?.signal) ?? problem(404, "message_not_found");
    if (kind === "threads") return listing();
    submitted += 1;
    return json(202, { message_id: `m${submitted}`, state: "queued", queue_position: submitted - 1 });
  };
  return new Client("http://queue.test", { fetch, maxRetries: 0 });
}

/** Render a component, and return its text, a wait for a text, and an end. */
function render(component: FunctionComponent): { until: (text: string) => Promise<void>; unmount: () => void } {
  const element = window.document.createElement("div");
  const root = createRoot(element);
  root.render(createElement(component));
  const until = async (text: string): Promise<void> => {
    const end = Date.now() + 5_000;
    while (element.textContent !== text) {
      assert.ok(Date.now() < end, `the document has ${element.textContent} instead of ${text}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  };
  return { until, unmount: () => root.unmount() };
}

test("a message is shown as it is written", async () => {
  const live = new Live();
  const client = serve({ m1: live });
  const page = render(() => {
    const { text, state, position, isOver } = useMessage(client, "m1");
    return `${state} ${position} ${text} ${isOver}`;
  });
  await page.until("null null  false");
  await live.processing();
  await page.until("processing null  false");
  await live.content(2, "One ");
  await page.until("processing null One  false");
  const told = { state: "queued", attempt: 1, error: "Lost.", discard_from: 1 };
  await live.send(3, "retry", told);
  await page.until("queued null  false");
  await live.done(4, "Two.");
  await page.until("completed null Two. true");
});

test("a question is shown until it is answered, and a failure is an error", async () => {
  const live = new Live();
  const client = serve({ m1: live });
  const page = render(() => {
    const { questions, error } = useMessage(client, "m1");
    return `${questions.map(({ value }) => value).join()} ${error?.name}`;
  });
  const interrupts = [{ id: "q1", value: "May I?" }];
  await live.send(1, "interrupted", { state: "interrupted", attempt: 1, interrupts, expires_at: null });
  await page.until("May I? undefined");
  await live.send(2, "resumed", { state: "queued", discard_from: 1 });
  await page.until(" undefined");
  await live.send(3, "error", { state: "failed", error: "No.", code: "agent_error" });
  await page.until(" MessageFailed");
});

test("nothing is followed without an id, and a gone component leaves its stream", async () => {
  const live = new Live();
  const client = serve({ m1: live });
  const page = render(() => `${useMessage(client, null).text}${useMessage(client, "m1").text}`);
  await live.processing();
  await live.content(2, "One");
  await page.until("One");
  page.unmount();
  while (!live.isLeft) await new Promise((resolve) => setTimeout(resolve, 2));
});

test("a thread shows its messages, and follows one after the other", async () => {
  const [first, second] = [new Live(), new Live()];
  const old = { user_message: "Hi", result: "Hello.", error: null, attempt: 1, queue_position: null };
  const listing = (): Response =>
    json(200, { messages: [{ ...old, message_id: "m0", state: "completed" }], total_messages: 1, thread_id: "t" });
  const client = serve({ m1: first, m2: second }, listing);
  let thread: ThreadView | undefined;
  const page = render(() => {
    thread = useThread(client, "t");
    return thread.entries.map(({ userMessage, text, position }) => `${userMessage}:${text}:${position}`).join(" ");
  });
  await page.until("Hi:Hello.:null");
  assert.equal(await thread?.send("A"), "m1");
  await thread?.send("B");
  await page.until("Hi:Hello.:null A::0 B::1");
  await first.processing();
  await first.content(2, "One.");
  await page.until("Hi:Hello.:null A:One.:null B::1");
  thread?.reload(); // the list has neither of the two yet
  await first.done(3, "One.");
  await second.processing();
  await second.done(2, "Two.");
  await page.until("Hi:Hello.:null A:One.:null B:Two.:null");
  assert.deepEqual([thread?.isLoading, thread?.error], [false, null]);
});

test("a thread that is not there yet is empty, and a refused message is told", async () => {
  const client = serve({});
  let thread: ThreadView | undefined;
  const page = render(() => {
    thread = useThread(client, "new");
    return `${thread.entries.length} ${thread.isLoading} ${thread.error?.name}`;
  });
  await page.until("0 false undefined");
  const refused = thread?.send("A", { metadata: { n: NaN } });
  await assert.rejects(refused!, { name: "ConfigurationError" });
  await page.until("0 false ConfigurationError");
});
