/** The state of the stream of changes: which request to send, and what its bytes mean. */

import { BrokenStream, Reconnecting, isPassing } from "../core/reconnecting.js";
import { refusal, type Reply } from "../core/replies.js";
import type { Query } from "../core/requests.js";
import type { Frame } from "../core/sse.js";
import { AgentQError } from "../errors.js";
import type { Schemas } from "../models.js";

const PATH = "/events";

interface Positioned<Type extends string> {
  readonly type: Type;
  /** Where to continue after this event. */
  readonly id: string;
}

/** A change of the server, such as `message.completed`. */
export type Change = Positioned<Schemas["ChangeType"]> & Omit<Schemas["Change"], "type">;

/** The reader loads its lists anew; later changes are all since. `reason` is `start` or `expired`. */
export type ChangesReset = Positioned<"reset"> & Schemas["ChangesReset"];

/** Nothing that the reader sees has changed before it. */
export type Cursor = Positioned<"cursor">;

/** The stream of changes brought nothing new in several tries. `lastEventId` is where to continue. */
export class ChangesLost extends AgentQError {
  override readonly name = "ChangesLost";
  readonly lastEventId: string | null;

  constructor(what: string, lastEventId: string | null, cause: unknown) {
    super(what, { code: "changes_lost", cure: "Follow the changes again later, after `lastEventId`.", cause });
    this.lastEventId = lastEventId;
  }
}

/** The machine behind the streams of changes. `lastEventId` is where to continue, null before the first event. */
export class Watching extends Reconnecting<Change | ChangesReset | Cursor> {
  readonly path = PATH;
  override readonly query: Query;
  lastEventId: string | null;

  constructor(query: Query, after: string | null) {
    super();
    this.query = query;
    this.lastEventId = after;
  }

  /** Take a refusal, after which the stream goes on after a pause. Throws the error of one that will stay. */
  refused(reply: Reply): [] {
    const error = refusal(reply, "GET", PATH);
    this.failure = error;
    if (!isPassing(reply.status)) throw error;
    return [];
  }

  receive(piece: Uint8Array): (Change | ChangesReset | Cursor)[] {
    return this.readFrames(piece, changeOf);
  }

  accept(event: Change | ChangesReset | Cursor): boolean {
    this.lastEventId = event.id;
    this.progress = true;
    return event.type !== "cursor";
  }

  /** Return ChangesLost, or the failure of a stream that never brought anything. */
  protected lost(why: string, failure: unknown): unknown {
    if (failure instanceof AgentQError && this.lastEventId === null) return failure;
    return new ChangesLost(`The stream of changes ${why}`, this.lastEventId, failure);
  }
}

/** Return the event of a frame, null for one of a later server. */
function changeOf({ event, id, data }: Frame): Change | ChangesReset | Cursor | null {
  if (!id) return null;
  if (event === "cursor") return { type: event, id };
  if (event !== "change" && event !== "reset") return null;
  const fields: Record<string, unknown> = Object(JSON.parse(data));
  if (typeof fields[event === "reset" ? "reason" : "type"] !== "string") {
    throw new BrokenStream(`the event \`${event}\` cannot be read`);
  }
  return { type: event, ...fields, id } as Change | ChangesReset;
}
