/** Lists that fetch their next page when the one before is used up. */

import { byLinks, type NextCall } from "./core/paging.js";
import type { Reply } from "./core/replies.js";
import type { Call } from "./core/requests.js";
import type { Read } from "./reading.js";

/** Iterates over all entries of a list. Each iteration begins anew at the first page. */
export class Pages<T> implements AsyncIterable<T> {
  readonly #call: Call;
  readonly #read: Read<T[]>;
  readonly #send: (call: Call) => Promise<Reply>;
  readonly #paging: () => NextCall;

  /** @internal */
  constructor(call: Call, read: Read<T[]>, send: (call: Call) => Promise<Reply>, paging = byLinks) {
    this.#call = call;
    this.#read = read;
    this.#send = send;
    this.#paging = paging;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const page of this.pages()) yield* page;
  }

  /** Yield the entries page by page. A page may be empty without being the last. */
  async *pages(): AsyncGenerator<T[], void, undefined> {
    const next = this.#paging();
    for (let call: Call | null = this.#call; call !== null; ) {
      const reply: Reply = await this.#send(call);
      const page = this.#read(reply);
      yield page;
      call = next(call, reply, page);
    }
  }
}
