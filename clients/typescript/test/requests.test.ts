/** Requests of the client: sent once in effect, tried again where that is safe, and refused with one typed error. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Reply } from "../src/core/replies.js";
import { Failure, Tries, configOf } from "../src/core/requests.js";
import * as agentq from "../src/index.js";
import { AgentQ, AgentQError } from "../src/index.js";
import { AgentQOperator } from "../src/operators.js";
import { FakeServer, broken, json, problem, type Answer } from "./servers.js";

const ACCEPTED = { message_id: "m1", state: "queued", created_at: "2026-11-29T10:00:00.000Z", agent: "chat" };

const setTimer = globalThis.setTimeout;
globalThis.setTimeout = ((run: () => void, ms = 0) => setTimer(run, ms > 9_000 ? ms : 0)) as typeof setTimeout;

test("a submit is tried again with the same key", async () => {
  const server = new FakeServer(broken("ECONNRESET"), problem(503, "store_unavailable"), json(202, ACCEPTED));
  const accepted = await server.client().submit("Hello", { priority: "high" });
  assert.equal(accepted.message_id, "m1");
  const sent = server.requests.map(({ method, url, body }) => ({ method, url, body }));
  const expected = { method: "POST", url: "http://queue.test/messages", body: { message: "Hello", priority: "high" } };
  assert.deepEqual(sent, [expected, expected, expected]);
  assert.equal(new Set(server.requests.map(({ headers }) => headers.get("idempotency-key"))).size, 1);
  assert.equal(server.requests[2]?.headers.get("authorization"), "Bearer aq_key");
});

test("two submits have different keys, unless the caller names one", async () => {
  const server = new FakeServer(...Array.from({ length: 3 }, () => json(202, ACCEPTED)));
  const client = server.client();
  await client.submit("Hello");
  await client.submit("Hello");
  await client.submit("Hello", {}, { idempotencyKey: "order-7" });
  const [first, second, third] = server.requests.map(({ headers }) => headers.get("idempotency-key"));
  assert.ok(first);
  assert.notEqual(first, second);
  assert.equal(third, "order-7");
});

test("keys differ where the platform makes no UUIDs", async (t) => {
  const server = new FakeServer(json(202, ACCEPTED), json(202, ACCEPTED));
  t.mock.getter(globalThis, "crypto", () => undefined);
  await server.client().submit("Hello");
  await server.client().submit("Hello");
  const [first, second] = server.requests.map(({ headers }) => headers.get("idempotency-key"));
  assert.ok(first && first.length > 30);
  assert.notEqual(first, second);
});

const NOT_REPEATABLE: ((client: AgentQOperator) => Promise<unknown>)[] = [
  (client) => client.threads.updateState("t", { values: { n: 1 } }),
  (client) => client.threads.fork("t"),
  (client) => client.threads.delete("t"),
  (client) => client.retry("m1"),
  (client) => client.deadLetters.requeue({ message_ids: ["m1"] }),
  (client) => client.deadLetters.purge({ message_ids: ["m1"] }),
  (client) => client.deliveries.replay("d1"),
  (client) => client.cancelAll({ message_ids: ["m1"] }),
  (client) => client.changeAll({ priority: "high", message_ids: ["m1"] }),
  (client) => client.cancelQueued("m1"),
  (client) => client.keys.create({ name: "shop" }),
  (client) => client.keys.rotate("k1"),
  (client) => client.request("POST", "/new"),
];

test("what may have been done is not done again", async () => {
  for (const call of NOT_REPEATABLE) {
    const cut = new FakeServer(broken("ECONNRESET"));
    await assert.rejects(call(cut.client()), { name: "ServerUnreachable", maybeDone: true });
    const unknown = new FakeServer(problem(504, "commit_unknown"));
    await assert.rejects(call(unknown.client()), { name: "CommitUnknown" });
    assert.equal(cut.requests.length + unknown.requests.length, 2);
  }
});

test("what was not done is tried again", async () => {
  for (const call of NOT_REPEATABLE) {
    for (const answer of [broken("ECONNREFUSED"), problem(503, "store_unavailable")]) {
      const server = new FakeServer(answer, problem(409, "thread_running"));
      await assert.rejects(call(server.client()), { name: "Conflict" });
      assert.equal(server.requests.length, 2);
    }
  }
});

const CALL = { method: "GET", path: "/queue" };

function told(status: number, retryAfter: string): Reply {
  return new Reply(status, new Headers({ "retry-after": retryAfter }), '{"code": "x", "detail": "y"}');
}

test("the server says how long to wait", () => {
  const tries = new Tries(CALL, configOf(undefined, {}));
  assert.equal(tries.judge(told(429, "7")), 7_000);
  assert.ok(Number(tries.judge(told(503, new Date(Date.now() + 30_000).toUTCString()))) > 28_000);
  const patient = new Tries(CALL, configOf(undefined, {}));
  assert.throws(() => patient.judge(told(429, "3600")), { name: "TooManyRequests", retryAfter: 3600 });
});

test("pauses grow and differ", () => {
  const pauses = Array.from({ length: 20 }, () => {
    const tries = new Tries(CALL, configOf(undefined, { maxRetries: 5 }));
    return Array.from({ length: 5 }, () => Number(tries.judge(new Failure("no", false))));
  });
  for (const [first = 0, , , , last = 0] of pauses) {
    assert.ok(first >= 250 && first <= 500 && last >= 4_000 && last <= 8_000, `${first} and ${last}`);
  }
  assert.equal(new Set(pauses.map(String)).size, 20);
});

test("each trouble is one typed error", async () => {
  const troubles: [Answer, string, string][] = [
    [broken("ECONNREFUSED"), "ServerUnreachable", "server_unreachable"],
    [broken("ECONNRESET"), "ServerUnreachable", "server_unreachable"],
    [problem(401, "invalid_api_key"), "AuthenticationError", "invalid_api_key"],
    [problem(403, "insufficient_scope"), "PermissionDenied", "insufficient_scope"],
    [problem(404, "message_not_found"), "NotFound", "message_not_found"],
    [problem(409, "not_queued", { state: "processing" }), "Conflict", "not_queued"],
    [problem(410, "message_deleted"), "Gone", "message_deleted"],
    [problem(422, "validation_error"), "InvalidRequest", "validation_error"],
    [problem(413, "body_too_large"), "InvalidRequest", "body_too_large"],
    [problem(429, "too_many_requests"), "TooManyRequests", "too_many_requests"],
    [problem(503, "queue_full"), "QueueFull", "queue_full"],
    [problem(503, "server_stopping"), "ServerUnavailable", "server_stopping"],
    [problem(504, "commit_unknown"), "CommitUnknown", "commit_unknown"],
    [problem(500, "internal_error"), "ServerFault", "internal_error"],
    [new Response("<html>", { status: 502 }), "ServerUnavailable", "http_502"],
    [new Response("teapot", { status: 418 }), "UnexpectedReply", "unexpected_reply"],
    [new Response("", { status: 302, headers: { location: "http://other.test" } }), "UnexpectedReply", "unexpected_reply"],
    [new Response("<html>"), "UnexpectedReply", "unexpected_reply"],
    [json(200, { other: 1 }), "UnexpectedReply", "unexpected_reply"],
    [json(200, []), "UnexpectedReply", "unexpected_reply"],
    [json(200, null), "UnexpectedReply", "unexpected_reply"],
    [problem(404, "not_found"), "ServerTooOld", "server_too_old"],
    [problem(405, "method_not_allowed"), "ServerTooOld", "server_too_old"],
    [new Response("nginx", { status: 404 }), "ServerTooOld", "server_too_old"],
  ];
  const classes = agentq as unknown as Record<string, new () => unknown>;
  for (const [answer, name, code] of troubles) {
    await assert.rejects(new FakeServer(answer).client({ maxRetries: 0 }).status("m1"), (error) => {
      assert.ok(error instanceof AgentQError && error instanceof classes[name]!, `${name}: ${error}`);
      assert.deepEqual([error.name, error.code], [name, code]);
      assert.ok(error.cure !== "" && error.message.includes(error.cure));
      assert.ok(!error.message.includes("aq_key"));
      if (answer instanceof Response && answer.headers.has("x-request-id")) assert.equal(error.requestId, "r1");
      return true;
    });
  }
});

test("a certificate that is not trusted is told at once, by a stream too", async () => {
  for (const code of ["DEPTH_ZERO_SELF_SIGNED_CERT", "UNABLE_TO_VERIFY_LEAF_SIGNATURE", "CERT_HAS_EXPIRED"]) {
    const server = new FakeServer(broken(code), broken(code));
    const expected = { name: "ConfigurationError", cure: /NODE_EXTRA_CA_CERTS/ };
    await assert.rejects(server.client().server.health(), expected);
    await assert.rejects(server.client().follow("m1").untilDone(), expected);
    assert.equal(server.requests.length, 2);
  }
});

test("a refusal names the fields and the state", async () => {
  const errors = [{ field: "priority", detail: "huge is none" }];
  const client = new FakeServer(problem(422, "validation_error", { errors }), problem(409, "x", { state: "done" })).client();
  await assert.rejects(client.submit("Hello"), { name: "InvalidRequest", fields: errors });
  await assert.rejects(client.cancel("m1"), { state: "done", status: 409 });
});

test("an id that names another route is not sent", async () => {
  const server = new FakeServer();
  for (const id of ["", ".", ".."]) {
    await assert.rejects(server.client().cancel(id), { name: "ConfigurationError" });
  }
  assert.equal(server.requests.length, 0);
});

test("an id stays one segment", async () => {
  const server = new FakeServer(problem(404, "thread_not_found"));
  await assert.rejects(server.client().threads.get("a/b?c#d%"), { name: "NotFound" });
  assert.equal(server.requests[0]?.url, "http://queue.test/threads/a%2Fb%3Fc%23d%25");
});

test("what cannot be used is refused at once, and keys are not shown", () => {
  const withUsers = ["http://me:hidden@queue.test", "ftp://me:hidden@queue.test"]; // `fetch` sends no user
  for (const address of ["localhost:8000", "ftp://queue.test", "http://", "queue", "http://a?b", ...withUsers]) {
    assert.throws(
      () => new AgentQ(address),
      (error) => error instanceof agentq.ConfigurationError && !error.message.includes("hidden"),
    );
  }
  for (const apiKey of ["aq_secret\nX: y", "aq_secretü"]) {
    assert.throws(
      () => new AgentQ("http://queue.test", { apiKey }),
      (error) => error instanceof agentq.ConfigurationError && !error.message.includes("secret"),
    );
  }
  assert.throws(() => new AgentQ("http://queue.test", { timeoutSeconds: 0 }), agentq.ConfigurationError);
});

test("what is no JSON is refused before it is sent", async () => {
  const server = new FakeServer();
  const circle: Record<string, unknown> = {};
  circle["circle"] = circle;
  for (const value of [NaN, Infinity, 1n, circle]) {
    await assert.rejects(server.client().submit(null, { input: { value } }), /JSON/);
  }
  await assert.rejects(server.client({ headers: { "x-team": "a\nb" } }).server.health(), { name: "ConfigurationError" });
  assert.equal(server.requests.length, 0);
});

test("the environment names server and key", async (t) => {
  const given = { AGENTQ_URL: "http://other.test/queue/", AGENTQ_API_KEY: "aq_env" };
  Object.assign(process.env, given);
  t.after(() => Object.keys(given).forEach((name) => delete process.env[name]));
  const seen: string[] = [];
  const client = new AgentQOperator(undefined, {
    fetch: async (url, init) => {
      seen.push(String(url), String(new Headers(init?.headers).get("authorization")));
      return json(200, { paused: true });
    },
  });
  assert.equal((await client.queue.pause()).paused, true);
  assert.deepEqual(seen, ["http://other.test/queue/queue/pause", "Bearer aq_env"]);
});

function page(link: string | null, ...ids: string[]): Response {
  const headers: Record<string, string> = link === null ? {} : { link: `<${link}>; rel="next"` };
  return json(200, { messages: ids.map((message_id) => ({ ...ACCEPTED, message_id })) }, headers);
}

test("lists go on to the next page and keep the key at home", async () => {
  const server = new FakeServer(
    page("http://evil.test/messages?state=failed&limit=2&cursor=x%3D", "a", "b"),
    page("/messages?state=failed&limit=2&cursor=y"),
    page(null, "c"),
  );
  const found: string[] = [];
  const query = { state: "failed", limit: 2, metadata: { team: "red" } } as const;
  for await (const message of server.client().messages(query)) found.push(message.message_id);
  assert.deepEqual(found, ["a", "b", "c"]);
  assert.deepEqual(
    server.requests.map(({ url }) => url),
    [
      "http://queue.test/messages?state=failed&limit=2&metadata.team=red",
      "http://queue.test/messages?state=failed&limit=2&cursor=x%3D",
      "http://queue.test/messages?state=failed&limit=2&cursor=y",
    ],
  );
});

test("a list whose links lead back ends with the last page that is new", async () => {
  const links = ["/messages?cursor=a", "/messages?cursor=b", "/messages?cursor=a"];
  for (const each of [links, ["/messages?cursor=a", "/messages?cursor=a"], ["/messages"]]) {
    const server = new FakeServer(...each.map((link) => page(link, "m1")));
    await assert.rejects(async () => {
      for await (const page of server.client().messages().pages()) assert.equal(page.length, 1);
    }, { name: "UnexpectedReply" });
    assert.equal(server.requests.length, each.length);
  }
});

test("a link that is no address ends its list", async () => {
  const server = new FakeServer(page("http://[?cursor=x", "a"), page("%", "b"), page(null));
  const found: string[] = [];
  await assert.rejects(async () => {
    for await (const message of server.client().messages()) found.push(message.message_id);
  }, { name: "UnexpectedReply" });
  assert.deepEqual(found, ["a", "b"]);
});

test("a secret that is shown once has no key to be shown again", async () => {
  const server = new FakeServer(json(201, { key: "aq_1" }), json(200, { key: "aq_2" }));
  await server.client().keys.create();
  await server.client().keys.rotate("k1");
  assert.deepEqual(
    server.requests.map(({ headers }) => headers.get("idempotency-key")),
    [null, null],
  );
});

test("items are listed by their offset until there are none", async () => {
  const item = { namespace: ["a"], key: "k", value: {} };
  const pages = [[item, item], [item], []].map((items) => json(200, { items }));
  const server = new FakeServer(...pages);
  let found = 0;
  for await (const { key } of server.client().items.search("a", { offset: 3 })) found += key.length;
  assert.equal(found, 3);
  assert.deepEqual(
    server.requests.map(({ body }) => (body as { offset: number }).offset),
    [3, 5, 6],
  );
});

test("a log that cannot be read is one typed error", async () => {
  const bodies = [[], { events: [{ id: 1 }] }, { events: [{ id: 1, type: "retry", data: {} }] }];
  for (const body of bodies) {
    await assert.rejects(new FakeServer(json(200, body)).client().storedEvents("m1"), { name: "UnexpectedReply" });
  }
});

test("stored events have times if the server tells them", async () => {
  const event = { id: 1, type: "processing", data: { state: "processing", attempt: 1 } };
  const body = { events: [{ ...event, at: "2030-01-31T09:00:00.250Z" }, { ...event, id: 2 }] };
  const stored = await new FakeServer(json(200, body)).client().storedEvents("m1");
  assert.deepEqual(
    stored.map(({ at }) => at?.toISOString()),
    ["2030-01-31T09:00:00.250Z", undefined],
  );
});

test("a reply keeps its headers and unknown fields", async () => {
  const headers = { "idempotent-replayed": "true", location: "/messages/m1" };
  const client = new FakeServer(json(202, { ...ACCEPTED, mood: "good" }, headers)).client();
  const accepted = await client.submit("Hello");
  assert.ok(agentq.isReplayed(accepted));
  assert.equal(agentq.replyOf(accepted).status, 202);
  assert.equal(agentq.replyOf(accepted).headers.get("location"), "/messages/m1");
  assert.equal((accepted as { mood?: string }).mood, "good");
});

test("other options are those of the new client alone", async () => {
  const server = new FakeServer(broken("ECONNRESET"), json(200, { paused: false }));
  const client = server.client({ maxRetries: 0, headers: { "X-Team": "red" } });
  assert.equal((await client.withOptions({ maxRetries: 1, apiKey: "aq_other" }).queue.resume()).paused, false);
  assert.deepEqual(
    server.requests.map(({ headers }) => [headers.get("authorization"), headers.get("x-team")]),
    [
      ["Bearer aq_other", "red"],
      ["Bearer aq_other", "red"],
    ],
  );
});

test("an abort ends a request, and the pause before its next try", async () => {
  const hanging: typeof fetch = (_, init) =>
    new Promise((_, reject) => {
      const stop = (): void => reject(init?.signal?.reason);
      if (init?.signal?.aborted) stop();
      init?.signal?.addEventListener("abort", stop);
    });
  const reason = new Error("enough");
  const controller = new AbortController();
  const client = new AgentQ("http://queue.test", { fetch: hanging });
  const waiting = client.server.health({ signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  await assert.rejects(client.server.health({ signal: controller.signal }), reason);
  const patient = new FakeServer(json(503, {}, { "retry-after": "60" })).client();
  const pausing = new AbortController();
  const paused = patient.server.health({ signal: pausing.signal });
  setImmediate(() => pausing.abort(reason));
  await assert.rejects(paused, reason);
});

test("a reply that trickles ends with the time of a try", async () => {
  const body = (): ReadableStream<Uint8Array> =>
    new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimer(resolve, 5));
        controller.enqueue(new TextEncoder().encode(" "));
      },
    });
  const client = new AgentQ("http://queue.test", {
    timeoutSeconds: 0.1,
    maxRetries: 0,
    fetch: async () => new Response(body()),
  });
  await assert.rejects(client.server.health(), { name: "ServerUnreachable", maybeDone: true });
});
