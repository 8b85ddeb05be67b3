/** `AgentQ`, the client. */

import type { NextCall } from "./core/paging.js";
import { Reply } from "./core/replies.js";
import { Tries, configOf, toRequest } from "./core/requests.js";
import type { Call, CallOptions, ClientOptions, Config, Query, RequestOptions, SubmitOptions } from "./core/requests.js";
import type { StoredEvent } from "./events.js";
import type * as models from "./models.js";
import type { Schemas } from "./models.js";
import { Pages } from "./pages.js";
import { many, messagePath, one, readAccepted, readEvents, readMessage, withMetadata, type Read } from "./reading.js";
import { Agents, Server, Threads, Tickets } from "./resources.js";
import { MessageStream, type FollowOptions } from "./stream.js";
import { Transport, sleep, type Fetch, type OpenReply } from "./transport.js";

export interface RunOptions extends SubmitOptions {
  /** Seconds for all of it, after which WaitTimeout is thrown. The message goes on. */
  readonly waitSeconds?: number | undefined;
}

interface ConstructorOptions extends ClientOptions {
  readonly fetch?: Fetch | undefined;
}

/**
 * A client of an Agent Queue System. `baseUrl` and `apiKey` come from AGENTQ_URL and AGENTQ_API_KEY if they are not given,
 * and in a page from the page's origin. `fetch` may be one of your own, with proxies, logs or certificates.
 */
export class AgentQ {
  readonly threads: Threads = new Threads(this);
  readonly agents = new Agents(this);
  readonly tickets = new Tickets(this);
  readonly server: Server = new Server(this);
  readonly #config: Config;
  readonly #fetch: Fetch | undefined;
  readonly #transport: Transport;

  constructor(baseUrl?: string, { fetch, ...options }: ConstructorOptions = {}) {
    this.#config = configOf(baseUrl, options);
    this.#fetch = fetch;
    this.#transport = new Transport(fetch);
  }

  /** The address of the server. */
  get baseUrl(): string {
    return this.#config.baseUrl;
  }

  /** The seconds of one try. */
  get timeoutSeconds(): number {
    return this.#config.timeoutSeconds;
  }

  /** Return a client with other options. Headers are added to those of this one. */
  withOptions({ headers = {}, ...options }: ClientOptions): this {
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
    const merged = { ...this.#config, ...given, headers: { ...this.#config.headers, ...headers }, fetch: this.#fetch };
    const Kind = this.constructor as new (baseUrl: string, options: ConstructorOptions) => this;
    return new Kind(this.baseUrl, merged);
  }

  // Messages

  /** Submit a message. All tries share one idempotency key, so that it is stored once. */
  async submit(
    message: models.Text | null,
    fields: models.MessageFields = {},
    options: SubmitOptions = {},
  ): Promise<models.Accepted> {
    const body = message === null ? fields : { ...fields, message };
    return this.call("POST", "/messages", readAccepted, { ...options, body });
  }

  /** Submit up to 1,000 messages, all or none. */
  async submitBatch(
    messages: readonly (models.BatchMessage | string)[],
    options: SubmitOptions = {},
  ): Promise<models.Accepted[]> {
    const bodies = messages.map((each) => (typeof each === "string" ? { message: each } : each));
    const read = many<models.Accepted>("messages", "message_id");
    return this.call("POST", "/messages/batch", read, { ...options, body: { messages: bodies } });
  }

  /**
   * Submit a message and wait for its end. Return the completed message; `result` is the text. Throws MessageFailed,
   * MessageCancelled, MessageInterrupted, and WaitTimeout; the message goes on after the last two. Throws ServerUnreachable
   * if the submit gets no reply in the time.
   */
  async run(
    message: models.Text | null,
    fields: models.MessageFields = {},
    options: RunOptions = {},
  ): Promise<models.Message> {
    return this.#stream(message, fields, options).untilDone();
  }

  /** Return a stream that submits a message when it is started or read, and shows its events. */
  stream(
    message: models.Text | null,
    fields: models.MessageFields = {},
    options: SubmitOptions = {},
  ): MessageStream {
    return this.#stream(message, fields, options);
  }

  /** Return the stream of a message, after the event `after` if it is given. */
  follow(messageId: string, options: FollowOptions = {}): MessageStream {
    return new MessageStream(this, messageId, options);
  }

  /** Return the status of a message. */
  async status(messageId: string, options?: CallOptions): Promise<models.Message> {
    return this.call("GET", messagePath(messageId, "/status"), readMessage, options);
  }

  /** Return a message with what its submit gave, and its failed attempts. */
  async message(messageId: string, options?: CallOptions): Promise<models.MessageDetails> {
    return this.call("GET", messagePath(messageId), one<models.MessageDetails>("message_id"), options);
  }

  /** Return the messages, newest first. */
  messages(query: models.MessageQuery = {}, options?: CallOptions): Pages<models.Message> {
    return this.pages("/messages", many("messages", "message_id"), withMetadata(query), options);
  }

  /** Return the stored events of a message, without waiting for more. */
  async storedEvents(messageId: string, query: models.EventQuery = {}, options?: CallOptions): Promise<StoredEvent[]> {
    return this.call("GET", messagePath(messageId, "/events"), readEvents, { ...options, query });
  }

  /** Change the priority of a queued message. Throws Conflict for one that has begun. */
  async setPriority(messageId: string, priority: models.Priority, options?: CallOptions): Promise<models.Message> {
    return this.call("PATCH", messagePath(messageId), readMessage, { ...options, body: { priority } });
  }

  /** Cancel a message in any state. Throws Conflict for one that has ended. */
  async cancel(messageId: string, options?: CallOptions): Promise<models.Cancellation> {
    return this.call("POST", messagePath(messageId, "/cancel"), one("message_id"), options);
  }

  /** Answer the agent's question with `value`, or several by their ids with `values`. */
  async resume(messageId: string, answer: models.Answer, options: SubmitOptions = {}): Promise<models.Answered> {
    return this.call("POST", messagePath(messageId, "/resume"), one("message_id"), { ...options, body: answer });
  }

  /** Answer a message anew, from the state before it. */
  async regenerate(
    messageId: string,
    fields: Schemas["MessageRegenerate"] = {},
    options: SubmitOptions = {},
  ): Promise<models.Regenerated> {
    const read = one<models.Regenerated>("message_id");
    return this.call("POST", messagePath(messageId, "/regenerate"), read, { ...options, body: fields });
  }

  /** Queue a failed message again. Throws Conflict for one that has not failed. */
  async retry(messageId: string, options?: CallOptions): Promise<models.RequeuedMessage> {
    return this.call("POST", messagePath(messageId, "/retry"), one("message_id"), { ...options, repeatable: false });
  }

  // Any request

  /**
   * Send any request of the API and return the raw reply, with the retries and errors of all calls. Only a GET is taken
   * as repeatable, unless `repeatable` says otherwise.
   */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Reply> {
    return this.#send({ method, path, ...options, repeatable: options.repeatable ?? method === "GET" });
  }

  /** @internal */
  async call<T>(method: string, path: string, read: Read<T>, options: RequestOptions = {}): Promise<T> {
    return read(await this.#send({ method, path, ...options }));
  }

  /** @internal */
  pages<T>(path: string, read: Read<T[]>, query: Query, options: CallOptions = {}): Pages<T> {
    return this.pagesOf({ method: "GET", path, query, ...options }, read);
  }

  /** @internal */
  pagesOf<T>(call: Call, read: Read<T[]>, paging?: () => NextCall): Pages<T> {
    return new Pages(call, read, (each) => this.#send(each), paging);
  }

  /** @internal */
  async open(call: Call, ms: number): Promise<OpenReply> {
    return this.#transport.open(toRequest(call, this.#config), ms, call.signal);
  }

  #stream(message: models.Text | null, fields: models.MessageFields, options: RunOptions): MessageStream {
    const { waitSeconds, ...given } = options;
    const submit = (signal: AbortSignal) => this.submit(message, fields, { ...given, signal });
    return new MessageStream(this, submit, { waitSeconds, signal: given.signal });
  }

  async #send(call: Call): Promise<Reply> {
    const tries = new Tries(call, this.#config);
    const request = toRequest(call, this.#config);
    for (;;) {
      const step = tries.judge(await this.#transport.send(request, 1000 * this.timeoutSeconds, call.signal));
      if (step instanceof Reply) return step;
      await sleep(step, call.signal);
    }
  }
}
