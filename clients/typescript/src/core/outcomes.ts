/** The meaning of the end of a message to a caller who waits for its answer. */

import { MessageCancelled, MessageFailed, MessageInterrupted, StreamLost } from "../errors.js";
import type { TerminalEvent } from "../events.js";
import type { Message } from "../models.js";

/** Throw the error of a terminal event that is not `done`. */
export function checkEnd(messageId: string, event: TerminalEvent | null): void {
  if (event?.type === "failed") throw new MessageFailed(messageId, event.error, event.code);
  if (event?.type === "cancelled") throw new MessageCancelled(messageId);
}

/** Throw the error of a message that gives no answer now. */
export function checkMessage(message: Message): void {
  const { message_id: id, state, error, error_code: code, interrupts = [] } = message;
  if (state === "failed") throw new MessageFailed(id, error ?? "no error was stored", code);
  if (state === "cancelled") throw new MessageCancelled(id);
  if (state === "interrupted") throw new MessageInterrupted(id, interrupts);
}

/** Throw the error of a message that has no answer when its stream is over. `text` is what the stream showed. */
export function checkCompleted(message: Message, lastEventId: number | null, text: string): void {
  checkMessage(message);
  const { message_id: id, state } = message;
  if (state !== "completed") {
    throw new StreamLost(`The stream of ${id} ended, but the message is ${state}.`, id, lastEventId, text);
  }
}
