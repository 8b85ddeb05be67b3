/** Checks that a webhook is from the server, by the Standard Webhooks signature. */

import { AgentQError, ConfigurationError } from "./errors.js";

const TOLERANCE_SECONDS = 300;
const HEADERS = ["webhook-id", "webhook-timestamp", "webhook-signature"] as const;

/** The body of a webhook is not from the server, or is too old. */
export class WebhookRefused extends AgentQError {
  override readonly name = "WebhookRefused";

  constructor(what: string) {
    const cure = "Answer with 400 and ignore the body. Check the secret, and that the body is the raw bytes.";
    super(what, { code: "webhook_refused", cure });
  }
}

/** The content of a webhook. */
export interface Webhook {
  readonly type: string;
  readonly timestamp: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface WebhookOptions {
  readonly toleranceSeconds?: number;
  /** The time in seconds since 1970, for tests. */
  readonly now?: number;
}

type Lists = Readonly<Record<string, string | readonly string[] | undefined>>;

/**
 * Return the webhook's content. `body` is the body as it came, before any parsing. `secret` may name several, separated
 * by spaces, while it is changed. Throws WebhookRefused, and ConfigurationError for a secret that is none. Drop doubles by
 * the header `webhook-id`, which is the same for all tries of a delivery.
 */
export async function verifyWebhook(
  body: string | Uint8Array,
  headers: Headers | Lists,
  secret: string,
  { toleranceSeconds = TOLERANCE_SECONDS, now = Date.now() / 1000 }: WebhookOptions = {},
): Promise<Webhook> {
  const raw = typeof body === "string" ? new TextEncoder().encode(body) : body;
  const [id, sent, signatures] = HEADERS.map((name) => header(headers, name)) as [string, string, string];
  if (!/^\d{1,14}$/.test(sent)) throw new WebhookRefused("The webhook's timestamp is no number.");
  if (!(Math.abs(now - Number(sent)) <= toleranceSeconds)) {
    throw new WebhookRefused(`The webhook's time differs by more than ${toleranceSeconds} seconds from ours.`);
  }
  const head = new TextEncoder().encode(`${id}.${sent}.`);
  const signed = new Uint8Array(head.length + raw.length);
  signed.set(head);
  signed.set(raw, head.length);
  if (!(await isSigned(signed, signatures, await keysOf(secret)))) {
    throw new WebhookRefused("The webhook's signature is wrong.");
  }
  return content(raw);
}

function header(headers: Headers | Lists, name: string): string {
  const found = headers instanceof Headers ? headers.get(name) : valueOf(headers, name);
  if (typeof found !== "string") throw new WebhookRefused(`The webhook has no header ${name}.`);
  return found;
}

function valueOf(headers: Lists, name: string): unknown {
  const value = Object.entries(headers).find(([each]) => each.toLowerCase() === name)?.[1];
  return Array.isArray(value) ? value.join(" ") : value;
}

async function keysOf(secret: string): Promise<CryptoKey[]> {
  const texts = secret.split(/\s+/).filter(Boolean);
  const keys = texts.map((text) => bytesOf(text.replace(/^whsec_/, "")));
  if (keys.length === 0 || keys.some((key) => key?.length === 0)) {
    throw new ConfigurationError("The webhook secret is empty.", { cure: "Give WEBHOOK_SECRET." });
  }
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  return Promise.all(
    keys.map((key) => {
      if (key !== null) return crypto.subtle.importKey("raw", key, algorithm, false, ["verify"]);
      throw new ConfigurationError("The webhook secret is not base64.", { cure: "Copy WEBHOOK_SECRET as it is." });
    }),
  );
}

async function isSigned(signed: Uint8Array<ArrayBuffer>, signatures: string, keys: CryptoKey[]): Promise<boolean> {
  for (const text of signatures.split(/\s+/)) {
    const given = text.startsWith("v1,") ? bytesOf(text.slice(3)) : null;
    for (const key of given === null ? [] : keys) {
      if (await crypto.subtle.verify("HMAC", key, given!, signed)) return true;
    }
  }
  return false;
}

function content(raw: Uint8Array): Webhook {
  let found: unknown;
  try {
    found = JSON.parse(new TextDecoder().decode(raw));
  } catch {
    throw new WebhookRefused("The webhook's body is no JSON.");
  }
  if (typeof found !== "object" || found === null || Array.isArray(found)) {
    throw new WebhookRefused("The webhook's body is no object.");
  }
  return found as Webhook;
}

/** Return the bytes of a base64 text, null for another text. */
function bytesOf(text: string): Uint8Array<ArrayBuffer> | null {
  try {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    return null;
  }
}
