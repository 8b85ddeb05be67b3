/** Servers of tests, as functions in the place of `fetch`. */

import type { ClientOptions } from "../src/index.js";
import { AgentQOperator } from "../src/operators.js";

export type Answer = Response | Error;

export interface Sent {
  url: string;
  method: string;
  headers: Headers;
  body: unknown;
}

/** Gives answers in their order and keeps the requests. */
export class FakeServer {
  readonly requests: Sent[] = [];
  readonly #answers: Answer[];

  constructor(...answers: Answer[]) {
    this.#answers = answers;
  }

  client(options: ClientOptions = {}): AgentQOperator {
    const fetch = async (url: unknown, init: RequestInit = {}): Promise<Response> => {
      const body: unknown = typeof init.body === "string" ? JSON.parse(init.body) : undefined;
      this.requests.push({ url: String(url), method: init.method ?? "GET", headers: new Headers(init.headers), body });
      const answer = this.#answers.shift();
      if (answer instanceof Response) return answer;
      throw answer ?? new Error("nothing more was expected");
    };
    return new AgentQOperator("http://queue.test", { apiKey: "aq_key", fetch: fetch as typeof globalThis.fetch, ...options });
  }
}

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), { status, headers });
}

export function problem(status: number, code: string, fields: object = {}): Response {
  const body = { status, code, title: "No", detail: "It cannot be.", ...fields };
  return json(status, body, { "x-request-id": "r1" });
}

/** Return what `fetch` throws for a connection that broke, or that was never opened. */
export function broken(code: string): Error {
  return new TypeError("fetch failed", { cause: Object.assign(new Error(`it is ${code}`), { code }) });
}
