/** The errors of the client: one class for each kind of trouble, with what happened and what to do. */

import type { Schemas } from "./models.js";

/** A field that the server refused, and why. */
export interface FieldProblem {
  readonly field: string;
  readonly detail: string;
}

export interface ErrorOptions {
  readonly code?: string | undefined;
  readonly cure?: string | undefined;
  readonly requestId?: string | null | undefined;
  readonly cause?: unknown;
}

/**
 * The base of all errors of this client. `code` is stable and meant for programs. `cure` says what to do. `requestId` is
 * null if the server gave none.
 */
export class AgentQError extends Error {
  override readonly name: string = "AgentQError";
  readonly what: string;
  readonly code: string;
  readonly cure: string;
  readonly requestId: string | null;

  constructor(what: string, { code = "agentq_error", cure = "", requestId = null, cause }: ErrorOptions = {}) {
    const notes = `(code ${code}${requestId === null ? "" : `, request ${requestId}`})`;
    super([what, cure, notes].filter(Boolean).join(" "), cause === undefined ? undefined : { cause });
    this.what = what;
    this.code = code;
    this.cure = cure;
    this.requestId = requestId;
  }
}

/** The client was given something that it cannot use, such as an address without a scheme. */
export class ConfigurationError extends AgentQError {
  override readonly name = "ConfigurationError";

  constructor(what: string, options: ErrorOptions = {}) {
    super(what, { code: "client_misconfigured", ...options });
  }
}

/**
 * No answer came from the server, after all tries. `maybeDone` says whether the server may have carried the request out
 * before the connection broke.
 */
export class ServerUnreachable extends AgentQError {
  override readonly name = "ServerUnreachable";
  readonly maybeDone: boolean;

  constructor(what: string, { maybeDone = false, ...options }: ErrorOptions & { maybeDone?: boolean } = {}) {
    super(what, {
      code: "server_unreachable",
      cure: "Check that the server runs, and its address (AGENTQ_URL).",
      ...options,
    });
    this.maybeDone = maybeDone;
  }
}

/** The reply is none that this client understands: another program answers, or another version of the server. */
export class UnexpectedReply extends AgentQError {
  override readonly name: string = "UnexpectedReply";

  constructor(what: string, options: ErrorOptions = {}) {
    super(what, {
      code: "unexpected_reply",
      cure: "Check the address, and update the older side.",
      ...options,
    });
  }
}

/** The server does not know the route that this call needs. */
export class ServerTooOld extends UnexpectedReply {
  override readonly name = "ServerTooOld";

  constructor(what: string, options: ErrorOptions = {}) {
    super(what, { code: "server_too_old", cure: "Update the server, or use a call that it knows.", ...options });
  }
}

export interface Refusal extends ErrorOptions {
  readonly status: number;
  readonly fields: readonly FieldProblem[];
  readonly state: string | null;
  readonly retryAfter: number | null;
  readonly problem: Partial<Schemas["Problem"]>;
}

/** The server refused the request. `status` is that of HTTP, `problem` the whole reply, `retryAfter` in seconds. */
export class APIError extends AgentQError {
  override readonly name: string = "APIError";
  readonly status: number;
  readonly fields: readonly FieldProblem[];
  readonly state: string | null;
  readonly retryAfter: number | null;
  readonly problem: Partial<Schemas["Problem"]>;

  constructor(what: string, { status, fields, state, retryAfter, problem, ...options }: Refusal) {
    super(what, options);
    this.status = status;
    this.fields = fields;
    this.state = state;
    this.retryAfter = retryAfter;
    this.problem = problem;
  }
}

/** The request cannot be carried out as it is (400, 408, 413 to 415, 422, 431). `fields` names what is wrong. */
export class InvalidRequest extends APIError {
  override readonly name = "InvalidRequest";
}

/** The API key or token is missing, wrong, expired or revoked (401). */
export class AuthenticationError extends APIError {
  override readonly name = "AuthenticationError";
}

/** The key or token does not allow this request (403). */
export class PermissionDenied extends APIError {
  override readonly name = "PermissionDenied";
}

/** No message, thread or other thing has this id (404). */
export class NotFound extends APIError {
  override readonly name = "NotFound";
}

/** The state of the message or thread does not allow the request now (409). `state` is the state, if known. */
export class Conflict extends APIError {
  override readonly name = "Conflict";
}

/** The object of the request was deleted (410). */
export class Gone extends APIError {
  override readonly name = "Gone";
}

/** A limit was reached (429). `retryAfter` is in seconds. */
export class TooManyRequests extends APIError {
  override readonly name = "TooManyRequests";
}

/** The queue takes no more messages now, and stored nothing (503). `retryAfter` is in seconds. */
export class QueueFull extends APIError {
  override readonly name = "QueueFull";
}

/** The server cannot serve now, such as while it stops or its database is away (503 and gateway errors). */
export class ServerUnavailable extends APIError {
  override readonly name = "ServerUnavailable";
}

/** The server cannot say whether it stored the write (504). */
export class CommitUnknown extends APIError {
  override readonly name = "CommitUnknown";
}

/** The server failed unexpectedly (other 5xx). */
export class ServerFault extends APIError {
  override readonly name = "ServerFault";
}

/**
 * A stream brought nothing new in several tries, or ended before its message. The message itself may go on.
 * `lastEventId` is where to continue. `text` is the answer so far.
 */
export class StreamLost extends AgentQError {
  override readonly name = "StreamLost";
  readonly messageId: string;
  readonly lastEventId: number | null;
  readonly text: string;

  constructor(what: string, messageId: string, lastEventId: number | null, text: string, cause?: unknown) {
    super(what, { code: "stream_lost", cure: "Follow the message again later, after `lastEventId`.", cause });
    this.messageId = messageId;
    this.lastEventId = lastEventId;
    this.text = text;
  }
}

/** A later attempt says something else than the text that was already handed out. */
export class TextDiverged extends AgentQError {
  override readonly name = "TextDiverged";

  constructor(what: string) {
    const cure = "Show `stream.text` after each event instead.";
    super(what, { code: "text_diverged", cure });
  }
}

/** The message has not ended within the given time. It goes on. */
export class WaitTimeout extends AgentQError {
  override readonly name = "WaitTimeout";
  readonly messageId: string;

  constructor(what: string, messageId: string) {
    super(what, { code: "wait_timeout", cure: "Wait again with `follow(messageId)`, or `cancel` the message." });
    this.messageId = messageId;
  }
}

/** The base of the three ways in which a message gives no answer. */
export class MessageNotCompleted extends AgentQError {
  override readonly name: string = "MessageNotCompleted";
  readonly messageId: string;

  constructor(what: string, messageId: string, options: ErrorOptions) {
    super(what, options);
    this.messageId = messageId;
  }
}

/** The message failed. `code` is the message's error code, such as `timeout`. */
export class MessageFailed extends MessageNotCompleted {
  override readonly name = "MessageFailed";

  constructor(messageId: string, error: string, code: string | null) {
    super(`The message ${messageId} failed: ${error.replace(/\.+$/, "")}.`, messageId, {
      code: code || "message_failed",
      cure: "It is a dead letter: mend the cause, then call `retry`.",
    });
  }
}

/** The message was cancelled. */
export class MessageCancelled extends MessageNotCompleted {
  override readonly name = "MessageCancelled";

  constructor(messageId: string) {
    super(`The message ${messageId} was cancelled.`, messageId, {
      code: "message_cancelled",
      cure: "Submit it again if it is still wanted.",
    });
  }
}

/** The agent asks a human. */
export class MessageInterrupted extends MessageNotCompleted {
  override readonly name = "MessageInterrupted";
  readonly questions: readonly Schemas["Question"][];

  constructor(messageId: string, questions: readonly Schemas["Question"][]) {
    super(`The message ${messageId} asks a human: ${JSON.stringify(questions)}.`, messageId, {
      code: "message_interrupted",
      cure: "Answer with `resume(messageId, value)`, then follow the message on.",
    });
    this.questions = questions;
  }
}
