/** Reads a stream over as many connections as it takes. */

import type { AgentQ } from "./client.js";
import { BrokenStream, SILENCE_MS, type Reconnecting } from "./core/reconnecting.js";
import { Failure } from "./core/requests.js";
import { ServerUnreachable } from "./errors.js";
import { sleep } from "./transport.js";

/** Yield the events of a stream until it is over. Throws the reason of the signal when it is aborted. */
export async function* eventsOf<E>(
  client: AgentQ,
  state: Reconnecting<E>,
  signal: AbortSignal,
): AsyncGenerator<E, void, undefined> {
  while (!state.isOver) {
    const began = performance.now();
    let failure: unknown;
    try {
      yield* connection(client, state, signal);
    } catch (error) {
      if (error instanceof Failure) {
        const what = `GET ${client.baseUrl} got no reply: ${error.message}.`;
        failure = new ServerUnreachable(what, { cause: error });
      } else if (error instanceof BrokenStream) failure = error;
      else throw error;
    }
    if (!state.isOver) await sleep(state.interrupted(performance.now() - began, failure), signal);
  }
}

async function* connection<E>(
  client: AgentQ,
  state: Reconnecting<E>,
  signal: AbortSignal,
): AsyncGenerator<E, void, undefined> {
  const { path, query, headers } = state;
  const reply = await client.open({ method: "GET", path, query, headers, signal }, SILENCE_MS);
  try {
    if (!state.opened(reply.status, reply.headers)) {
      yield* state.refused(await reply.read(1000 * client.timeoutSeconds));
    } else if (!state.isOver) {
      for await (const piece of reply.pieces(() => SILENCE_MS)) {
        for (const event of state.receive(piece)) {
          if (state.accept(event)) yield event;
          if (state.isOver) return;
        }
      }
    }
  } finally {
    reply.close();
  }
}
