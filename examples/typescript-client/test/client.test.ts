import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";

import {
  AgentQueueClient,
  AgentQueueConnectionError,
  AgentQueueError,
  AgentQueueStreamError,
} from "../src/client.js";
import type { StreamEvent } from "../src/types.js";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

interface Served {
  client: AgentQueueClient;
  /** What arrived, in order. */
  requests: Array<{ at: number; method: string; url: string; lastEventId: string | undefined }>;
}

/** A server that answers the nth request with the nth handler, the last one over and over. */
async function serve(t: TestContext, ...handlers: Handler[]): Promise<Served> {
  const requests: Served["requests"] = [];
  const server = createServer((request, response) => {
    const lastEventId = request.headers["last-event-id"];
    requests.push({
      at: performance.now(),
      method: request.method ?? "",
      url: request.url ?? "",
      lastEventId: typeof lastEventId === "string" ? lastEventId : undefined,
    });
    handlers[Math.min(requests.length, handlers.length) - 1]?.(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { client: new AgentQueueClient(`http://127.0.0.1:${port}/`), requests };
}

function chunk(id: number, index: number, text = `t${index} `): string {
  const data = JSON.stringify({ type: "content", chunk: text, index });
  return `id: ${id}\nevent: chunk\ndata: ${data}\n\n`;
}

function done(id: number, result: string): string {
  const data = JSON.stringify({ state: "completed", result, completed_at: "" });
  return `id: ${id}\nevent: done\ndata: ${data}\n\n`;
}

/** Sends the text as an event stream, then closes properly or breaks the connection. */
function events(text: string, end: "close" | "break" | "stay" = "close"): Handler {
  return (_, response) => {
    response.writeHead(200, { "Content-Type": "text/event-stream; charset=utf-8" });
    response.write(`retry: 20\n\n${text}`, () => {
      if (end === "close") response.end();
      if (end === "break") setTimeout(() => response.destroy(), 10);
    });
  };
}

function answer(status: number, body?: unknown, headers: Record<string, string> = {}): Handler {
  return (_, response) => {
    const type = status >= 400 ? "application/problem+json" : "application/json";
    response.writeHead(status, { "Content-Type": type, ...headers });
    response.end(body === undefined ? undefined : JSON.stringify(body));
  };
}

function problem(status: number, code: string): unknown {
  return { type: `urn:${code}`, title: code, status, detail: `that is ${code}`, code };
}

async function collect(stream: AsyncIterable<StreamEvent>): Promise<StreamEvent[]> {
  const seen: StreamEvent[] = [];
  for await (const event of stream) seen.push(event);
  return seen;
}

const names = (seen: StreamEvent[]): string[] => seen.map(({ event, id }) => `${event}:${id}`);

test("a stream ends with its terminal event, and the connection is given up", async (t) => {
  const { client, requests } = await serve(t, events(chunk(1, 0) + done(2, "t0 "), "stay"));
  assert.deepEqual(names(await collect(client.stream("m"))), ["chunk:1", "done:2"]);
  assert.equal(requests.length, 1);
});

test("a cut stream goes on after the last whole event", async (t) => {
  const { client, requests } = await serve(
    t,
    events(chunk(1, 0) + chunk(2, 1) + "id: 3\nevent: chunk\nda", "break"),
    events(chunk(3, 2)),
    events(done(4, "t0 t1 t2 ")),
  );
  const seen = await collect(client.stream("m"));
  assert.deepEqual(names(seen), ["chunk:1", "chunk:2", "chunk:3", "done:4"]);
  assert.deepEqual(
    requests.map(({ lastEventId }) => lastEventId),
    [undefined, "2", "3"],
  );
});

test("a stream can begin after a given event", async (t) => {
  const { client, requests } = await serve(t, events(done(9, "x")));
  await collect(client.stream("m", { lastEventId: "8" }));
  assert.equal(requests[0]?.lastEventId, "8");
});

test("the server's retry time is honoured", async (t) => {
  const { client, requests } = await serve(
    t,
    events(`retry: 300\n\n${chunk(1, 0)}`),
    events(done(2, "t0 ")),
  );
  await collect(client.stream("m"));
  const gap = Number(requests[1]?.at) - Number(requests[0]?.at);
  assert.ok(gap >= 295, `came back after ${gap} ms`);
});

test("204 ends the stream without a terminal event", async (t) => {
  const { client, requests } = await serve(t, events(chunk(1, 0)), answer(204));
  assert.deepEqual(names(await collect(client.stream("m"))), ["chunk:1"]);
  assert.equal(requests.length, 2);
});

test("five tries without anything new are enough", async (t) => {
  const { client, requests } = await serve(t, events(chunk(1, 0)), events(": nothing\n\n"));
  await assert.rejects(collect(client.stream("m")), AgentQueueStreamError);
  assert.equal(requests.length, 6);
});

test("a server that repeats itself makes no progress either", async (t) => {
  const { client, requests } = await serve(t, events(chunk(1, 0)));
  await assert.rejects(collect(client.stream("m")), AgentQueueStreamError);
  assert.equal(requests.length, 6);
});

test("progress sets the count of tries back", async (t) => {
  const silence = events("");
  const { client, requests } = await serve(
    t,
    ...[silence, silence, silence, silence, events(chunk(1, 0))],
    ...[silence, silence, silence, silence, events(done(2, "t0 "))],
  );
  assert.deepEqual(names(await collect(client.stream("m"))), ["chunk:1", "done:2"]);
  assert.equal(requests.length, 10);
});

test("an unavailable server is tried again, not before Retry-After", async (t) => {
  const { client, requests } = await serve(
    t,
    events(chunk(1, 0)),
    answer(503, problem(503, "unavailable"), { "Retry-After": "1" }),
    events(done(2, "t0 ")),
  );
  assert.deepEqual(names(await collect(client.stream("m"))), ["chunk:1", "done:2"]);
  assert.ok(Number(requests[2]?.at) - Number(requests[1]?.at) >= 995);
});

test("a stream whose events the server has lost begins anew", async (t) => {
  const { client, requests } = await serve(
    t,
    events(chunk(1, 0) + chunk(2, 1)),
    answer(422, problem(422, "invalid_request")),
    events(chunk(1, 0) + done(2, "t0 ")),
  );
  const seen = await collect(client.stream("m"));
  assert.deepEqual(names(seen), ["chunk:1", "chunk:2", "reset:undefined", "chunk:1", "done:2"]);
  assert.deepEqual(
    requests.map(({ lastEventId }) => lastEventId),
    [undefined, "2", undefined],
  );
});

test("a position that the caller gave and the server does not know is refused", async (t) => {
  const { client, requests } = await serve(t, answer(422, problem(422, "invalid_request")));
  const refused = { status: 422, code: "invalid_request" };
  await assert.rejects(collect(client.stream("m", { lastEventId: "9" })), refused);
  assert.equal(requests.length, 1);
});

test("a refused stream is not tried again", async (t) => {
  const { client, requests } = await serve(t, answer(404, problem(404, "message_not_found")));
  await assert.rejects(collect(client.stream("m")), { status: 404, code: "message_not_found" });
  assert.equal(requests.length, 1);
});

test("unknown events are passed over, but their ids count", async (t) => {
  const { client, requests } = await serve(
    t,
    events(`${chunk(1, 0)}id: 2\nevent: confetti\ndata: not json\n\n`),
    events(done(3, "t0 ")),
  );
  assert.deepEqual(names(await collect(client.stream("m"))), ["chunk:1", "done:3"]);
  assert.equal(requests[1]?.lastEventId, "2");
});

test("what is not an event stream, or not JSON, is said so at once", async (t) => {
  const { client, requests } = await serve(
    t,
    answer(200, {}),
    events("event: done\ndata: {oops\n\n"),
  );
  await assert.rejects(collect(client.stream("m")), /expected an event stream/);
  await assert.rejects(collect(client.stream("m")), /not JSON/);
  assert.equal(requests.length, 2);
});

test("an abort ends a silent stream, and a wait between two connections", async (t) => {
  for (const handler of [events(": hello\n\n", "stay"), events("retry: 60000\n\n")]) {
    const { client } = await serve(t, handler);
    const controller = new AbortController();
    const reason = new Error("enough");
    setTimeout(() => controller.abort(reason), 100);
    await assert.rejects(collect(client.stream("m", { signal: controller.signal })), reason);
  }
});

test("leaving the loop closes the connection", { timeout: 10_000 }, async (t) => {
  const closed = new Promise<void>((resolve) => {
    void serve(t, (request, response) => {
      response.on("close", resolve);
      events(chunk(1, 0), "stay")(request, response);
    }).then(async ({ client }) => {
      for await (const event of client.stream("m")) {
        assert.equal(event.id, "1");
        break;
      }
    });
  });
  await closed;
});

test("a problem becomes a typed error", async (t) => {
  const { client } = await serve(t, answer(409, problem(409, "message_not_queued")));
  await assert.rejects(client.cancel("m"), (error: unknown) => {
    assert.ok(error instanceof AgentQueueError);
    assert.equal(error.status, 409);
    assert.equal(error.code, "message_not_queued");
    assert.equal(error.detail, "that is message_not_queued");
    assert.equal(error.problem?.type, "urn:message_not_queued");
    return true;
  });
});

test("an error page that is no problem keeps its status", async (t) => {
  const { client } = await serve(t, (_, response) => {
    response.writeHead(502, { "Content-Type": "text/html", "Retry-After": "7" });
    response.end("<h1>Bad Gateway</h1>");
  });
  await assert.rejects(client.queue(), { status: 502, code: undefined, retryAfterMs: 7_000 });
});

test("nobody listening is a connection error that names the address", async (t) => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  t.diagnostic(`port ${port} is free again`);
  await assert.rejects(new AgentQueueClient(`http://127.0.0.1:${port}`).health(), (error) => {
    assert.ok(error instanceof AgentQueueConnectionError);
    assert.match(error.message, new RegExp(`${port}/health: .*ECONNREFUSED`));
    return true;
  });
});

test("thread ids are escaped, cursors travel", async (t) => {
  const { client, requests } = await serve(
    t,
    answer(200, {}),
    answer(200, { messages: [] }),
    answer(200, [], { Link: '</threads?limit=2&cursor=a%2Bb>; rel="next"' }),
    answer(200, []),
  );
  await client.thread("a/b%c d?é");
  await client.threadMessages("../x");
  const { next } = await client.threads({ limit: 2 });
  assert.equal(next, "a+b");
  assert.equal((await client.threads({ cursor: "a+b" })).next, null);
  assert.deepEqual(
    requests.map(({ url }) => url),
    [
      "/threads/a%2Fb%25c%20d%3F%C3%A9",
      "/threads/..%2Fx/messages",
      "/threads?limit=2",
      "/threads?cursor=a%2Bb",
    ],
  );
});

test("submit sends the body, the key and the idempotency key", async (t) => {
  let seen: unknown;
  const { client } = await serve(t, (request, response) => {
    let body = "";
    request.on("data", (piece) => (body += piece));
    request.on("end", () => {
      const { authorization, "idempotency-key": key, "content-type": type } = request.headers;
      seen = { method: request.method, authorization, key, type, body: JSON.parse(body) };
      answer(202, { message_id: "m", state: "queued" })(request, response);
    });
  });
  const keyed = new AgentQueueClient(client.baseUrl, { apiKey: "secret" });
  const request = { message: "hé", priority: "high", thread_id: "t" } as const;
  const reply = await keyed.submit(request, { idempotencyKey: "once" });
  assert.equal(reply.message_id, "m");
  assert.deepEqual(seen, {
    method: "POST",
    authorization: "Bearer secret",
    key: "once",
    type: "application/json",
    body: request,
  });
});
