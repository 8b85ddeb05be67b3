/** Lists that fetch their next page when the one before is used up. */

import type { Reply } from "./core/replies.js";
import { nextCall, type Call } from "./core/requests.js";
import type { Read } from "./reading.js";

/** Iterates over all entries of a list. Each iteration begins anew at the first page. */
export class Pages<T> implements AsyncIterable<T> {
  readonly #call: Call;
  readonly #read: Read<T[]>;
  readonly #send: (call: Call) => Promise<Reply>;

  /** @internal */
  constructor(call: Call, read: Read<T[]>, send: (call: Call) => Promise<Reply>) {
    this.#call = call;
    this.#read = read;
    this.#send = send;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const page of this.pages()) yield* page;
  }

  /** Yield the entries page by page. A page may be empty without being the last. */
  async *pages(): AsyncGenerator<T[], void, undefined> {
    for (let call: Call | null = this.#call; call !== null; ) {
      const reply: Reply = await this.#send(call);
      yield this.#read(reply);
      call = nextCall(call, reply);
    }
  }
}
