/** The client for operators has a method for each public route, which sends all that the route takes in its query. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { AgentQOperator } from "../src/operators.js";

interface Operation {
  parameters?: { name: string; in: string }[];
}

const DOCUMENT = new URL("../../../docs/reference/openapi.json", import.meta.url);
const { paths } = JSON.parse(readFileSync(DOCUMENT, "utf8")) as { paths: Record<string, Record<string, Operation>> };

/** A session is the cookie of a browser. A program sends its key with each request. */
const WITHOUT_A_METHOD = ["DELETE /session", "POST /session"];

/** Lists find their next page, readers send headers, and `count` asks for a header. */
const NOT_GIVEN = new Set(["cursor", "ticket", "count"]);

/** All query parameters of all routes. A method passes on what it is given. */
const ALL: Record<string, never> = Object.fromEntries(
  Object.values(paths)
    .flatMap((verbs) => Object.values(verbs).flatMap(({ parameters = [] }) => parameters))
    .filter((each) => each.in === "query" && !NOT_GIVEN.has(each.name))
    .map(({ name }) => [name, name === "group_by" ? ["day", "model"] : "7"]),
) as Record<string, never>;

/** A call of each method that sends a request, with the whole query where it takes one. */
const CALLS: Record<string, (client: AgentQOperator) => unknown> = {
  submit: (client) => client.submit("Hello"),
  submitBatch: (client) => client.submitBatch(["Hello"]),
  run: (client) => client.run("Hello"),
  stream: (client) => client.stream("Hello").start(),
  follow: (client) => client.follow("m"),
  status: (client) => client.status("m"),
  message: (client) => client.message("m"),
  messages: (client) => client.messages(ALL),
  storedEvents: (client) => client.storedEvents("m", ALL),
  setPriority: (client) => client.setPriority("m", "high"),
  cancel: (client) => client.cancel("m"),
  cancelQueued: (client) => client.cancelQueued("m"),
  cancelAll: (client) => client.cancelAll({ filter: {}, expected_count: 1 }),
  changeAll: (client) => client.changeAll({ priority: "high", filter: {}, expected_count: 1 }),
  resume: (client) => client.resume("m", { value: 1 }),
  regenerate: (client) => client.regenerate("m"),
  retry: (client) => client.retry("m"),
  "threads.list": ({ threads }) => threads.list(ALL),
  "threads.create": ({ threads }) => threads.create(),
  "threads.get": ({ threads }) => threads.get("t"),
  "threads.change": ({ threads }) => threads.change("t", {}),
  "threads.delete": ({ threads }) => threads.delete("t"),
  "threads.messages": ({ threads }) => threads.messages("t", ALL),
  "threads.fork": ({ threads }) => threads.fork("t"),
  "threads.state": ({ threads }) => threads.state("t", ALL),
  "threads.updateState": ({ threads }) => threads.updateState("t", { values: {} }),
  "threads.history": ({ threads }) => threads.history("t", ALL),
  "agents.list": ({ agents }) => agents.list(),
  "agents.get": ({ agents }) => agents.get("a"),
  "tickets.create": ({ tickets }) => tickets.create("m"),
  "queue.get": ({ queue }) => queue.get(ALL),
  "queue.pause": ({ queue }) => queue.pause(),
  "queue.resume": ({ queue }) => queue.resume(),
  "workers.list": ({ workers }) => workers.list(),
  "workers.drain": ({ workers }) => workers.drain("w"),
  "workers.resume": ({ workers }) => workers.resume("w"),
  "deadLetters.list": ({ deadLetters }) => deadLetters.list(ALL),
  "deadLetters.groups": ({ deadLetters }) => deadLetters.groups(ALL),
  "deadLetters.requeue": ({ deadLetters }) => deadLetters.requeue({ message_ids: ["m"] }),
  "deadLetters.purge": ({ deadLetters }) => deadLetters.purge({ message_ids: ["m"] }),
  "deliveries.list": ({ deliveries }) => deliveries.list(ALL),
  "deliveries.ofMessage": ({ deliveries }) => deliveries.ofMessage("m"),
  "deliveries.replay": ({ deliveries }) => deliveries.replay("d"),
  "items.put": ({ items }) => items.put("users", "k", {}),
  "items.get": ({ items }) => items.get("users", "k", ALL),
  "items.delete": ({ items }) => items.delete("users", "k"),
  "items.search": ({ items }) => items.search("users"),
  "items.namespaces": ({ items }) => items.namespaces(),
  "usage.list": ({ usage }) => usage.list(ALL),
  "usage.quotas": ({ usage }) => usage.quotas(),
  "usage.csv": ({ usage }) => usage.csv(ALL),
  "storage.report": ({ storage }) => storage.report(ALL),
  "storage.tenants": ({ storage }) => storage.tenants(ALL),
  "storage.threads": ({ storage }) => storage.threads(ALL),
  "storage.thread": ({ storage }) => storage.thread("t", ALL),
  "statistics.get": ({ statistics }) => statistics.get(ALL),
  "statistics.series": ({ statistics }) => statistics.series("wait", ALL),
  "changes.list": ({ changes }) => changes.list(ALL),
  "changes.follow": ({ changes }) => changes.follow(ALL),
  "keys.list": ({ keys }) => keys.list(ALL),
  "keys.create": ({ keys }) => keys.create(),
  "keys.get": ({ keys }) => keys.get("k"),
  "keys.change": ({ keys }) => keys.change("k", { limits: { submits_per_minute: 60 } }),
  "keys.rotate": ({ keys }) => keys.rotate("k"),
  "keys.revoke": ({ keys }) => keys.revoke("k"),
  "tenants.list": ({ tenants }) => tenants.list(ALL),
  "tenants.get": ({ tenants }) => tenants.get("t"),
  "tenants.change": ({ tenants }) => tenants.change("t", { weight: 2 }),
  "tokens.create": ({ tokens }) => tokens.create(),
  "tokens.revoke": ({ tokens }) => tokens.revoke({ subject: "s" }),
  "audit.list": ({ audit }) => audit.list(ALL),
  "erasures.eraseThread": ({ erasures }) => erasures.eraseThread("t"),
  "erasures.eraseSubject": ({ erasures }) => erasures.eraseSubject("s"),
  "erasures.eraseTenant": ({ erasures }) => erasures.eraseTenant("t"),
  "erasures.list": ({ erasures }) => erasures.list(ALL),
  "erasures.get": ({ erasures }) => erasures.get("e"),
  "server.about": ({ server }) => server.about(),
  "server.health": ({ server }) => server.health(),
  "server.live": ({ server }) => server.live(),
  "server.ready": ({ server }) => server.ready(),
  "server.doctor": ({ server }) => server.doctor(),
  "server.settings": ({ server }) => server.settings(),
  "server.metrics": ({ server }) => server.metrics(),
  "server.caller": ({ server }) => server.caller(),
};

/** Methods on which the others stand. */
const RAW = new Set(["constructor", "withOptions", "request", "call", "pages", "pagesOf", "open"]);

function methodsOf(part: object): string[] {
  const prototype: object = Object.getPrototypeOf(part);
  if (prototype === Object.prototype) return [];
  const own = Object.entries(Object.getOwnPropertyDescriptors(prototype));
  const names = own.filter(([name, { value }]) => typeof value === "function" && !RAW.has(name)).map(([name]) => name);
  return [...names, ...methodsOf(prototype)];
}

function routeOf(method: string, path: string): string {
  const found = Object.keys(paths).filter((each) => new RegExp(`^${each.replace(/\{\w+\}/g, "[^/]+")}$`).test(path));
  return `${method} ${found.sort((one, other) => one.split("{").length - other.split("{").length)[0]}`;
}

/** Return the route of the request that a call sends, and the names of its query. */
async function sentBy(call: (client: AgentQOperator) => unknown): Promise<{ route: string; query: string[] }> {
  return new Promise((resolve, reject) => {
    const client = new AgentQOperator("http://queue.test", {
      fetch: async (url, init) => {
        const { pathname, searchParams } = new URL(String(url));
        resolve({ route: routeOf(init?.method ?? "", pathname), query: [...searchParams.keys()] });
        return new Response('{"code": "refused"}', { status: 409 });
      },
    });
    const made = Object(call(client)) as AsyncIterable<unknown> & PromiseLike<unknown>;
    const result = Symbol.asyncIterator in made ? made[Symbol.asyncIterator]().next() : made;
    result.then(reject, () => undefined); // the refusal
  });
}

test("each method has a call here", () => {
  const client = new AgentQOperator("http://queue.test");
  const parts = Object.entries(client).flatMap(([name, part]) => methodsOf(part as object).map((each) => `${name}.${each}`));
  assert.deepEqual([...methodsOf(client), ...parts].sort(), Object.keys(CALLS).sort());
});

test("each public route has a method, which sends all of its query", async () => {
  const sent = new Map<string, Set<string>>();
  for (const call of Object.values(CALLS)) {
    const { route, query } = await sentBy(call);
    sent.set(route, new Set([...(sent.get(route) ?? []), ...query]));
  }
  const missing: string[] = [];
  const without: string[] = [];
  for (const [path, verbs] of Object.entries(paths)) {
    for (const [verb, { parameters = [] }] of Object.entries(verbs)) {
      const route = `${verb.toUpperCase()} ${path}`;
      const given = sent.get(route);
      if (given === undefined) without.push(route);
      else {
        const taken = parameters.filter((each) => each.in === "query" && !NOT_GIVEN.has(each.name) && !given.has(each.name));
        missing.push(...taken.map(({ name }) => `${route} ${name}`));
      }
    }
  }
  assert.deepEqual(without.sort(), WITHOUT_A_METHOD);
  assert.deepEqual(missing, ["GET /messages/{message_id}/stream after"]); // `Last-Event-ID` is the same
});
