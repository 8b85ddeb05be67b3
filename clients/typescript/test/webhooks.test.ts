/** `verifyWebhook` takes what the server signs, and nothing else. */

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";

import { verifyWebhook } from "../src/index.js";

const KEY = "0123456789abcdef0123456789abcdef";
const SECRET = `whsec_${Buffer.from(KEY).toString("base64")}`;
const OTHER = `whsec_${Buffer.from("another-secret-of-thirty-two-byt").toString("base64")}`;
const BODY = '{"type": "message.completed", "data": {"result": "Größe"}}';
const now = 1_790_000_000;

function headers(changes: Record<string, string> = {}, body = BODY, key = KEY): Record<string, string> {
  const signature = createHmac("sha256", key).update(`d1.${now}.${body}`).digest("base64");
  return { "Webhook-Id": "d1", "Webhook-Timestamp": `${now}`, "Webhook-Signature": `v1,${signature}`, ...changes };
}

test("what the server signed is returned", async () => {
  for (const secret of [SECRET, `${OTHER} ${SECRET}`]) {
    const content = await verifyWebhook(new TextEncoder().encode(BODY), headers(), secret, { now: now + 299 });
    assert.deepEqual(content.data, { result: "Größe" });
  }
  assert.equal((await verifyWebhook(BODY, new Headers(headers()), SECRET, { now })).type, "message.completed");
});

test("one good signature of several is enough", async () => {
  const both = { ...headers(), "Webhook-Signature": `v1,AAAA v2,x ${headers()["Webhook-Signature"]}` };
  assert.ok(await verifyWebhook(BODY, both, SECRET, { now }));
});

test("anything else is refused", async () => {
  const given: [string, Record<string, string>, number][] = [
    [`${BODY} `, headers(), now],
    [BODY, headers({ "Webhook-Id": "d2" }), now],
    [BODY, headers({ "Webhook-Timestamp": `${now + 1}` }), now],
    [BODY, headers({ "Webhook-Timestamp": "soon" }), now],
    [BODY, headers({}, BODY, "another-secret-of-thirty-two-byt"), now],
    [BODY, headers({ "Webhook-Signature": "" }), now],
    [BODY, headers({ "Webhook-Signature": "v1,not-base64!" }), now],
    [BODY, headers(), now + 301],
    [BODY, headers(), now - 301],
    ["no json", headers({}, "no json"), now],
    ["[1]", headers({}, "[1]"), now],
    [BODY, {}, now],
  ];
  for (const [body, each, at] of given) {
    await assert.rejects(verifyWebhook(body, each, SECRET, { now: at }), { name: "WebhookRefused" });
  }
});

test("a secret that is none is refused", async () => {
  for (const secret of ["", "whsec_", "no base64!"]) {
    await assert.rejects(verifyWebhook(BODY, headers(), secret, { now }), { name: "ConfigurationError" });
  }
});
