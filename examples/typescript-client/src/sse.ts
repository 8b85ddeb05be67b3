/** Server-Sent Events as the WHATWG HTML standard defines them, parsed while they arrive. */

export interface SseMessage {
  /** The `event:` field, or `message` when there was none. */
  event: string;
  data: string;
  /** The `id:` field of this very message; not inherited from an earlier one. */
  id?: string;
}

const LINE_END = /[\r\n]/g;
const DIGITS = /^[0-9]+$/;

/**
 * Takes decoded text cut anywhere and hands out the messages it completes. One parser serves one
 * connection. A message that is cut off leaves no trace: its id counts only once its blank line came.
 */
export class SseParser {
  /** The id to resume from. An empty one means: from the start. */
  lastEventId: string;
  /** The reconnection time the server asked for, once it did. */
  retryMs: number | undefined;

  #atStart = true;
  #afterCarriageReturn = false;
  #line = "";
  #event = "";
  #data: string[] = [];
  #id: string | undefined;

  constructor(lastEventId = "") {
    this.lastEventId = lastEventId;
  }

  push(text: string): SseMessage[] {
    const messages: SseMessage[] = [];
    let from = 0;
    if (text !== "" && this.#atStart) {
      this.#atStart = false;
      if (text.startsWith("\uFEFF")) from = 1;
    }
    // A carriage return ended its line at once; a line feed that follows it is the same line end.
    if (this.#afterCarriageReturn && from < text.length) {
      this.#afterCarriageReturn = false;
      if (text[from] === "\n") from += 1;
    }
    for (;;) {
      LINE_END.lastIndex = from;
      const end = LINE_END.exec(text)?.index;
      if (end === undefined) break;
      const line = this.#line + text.slice(from, end);
      this.#line = "";
      from = end + 1;
      if (text[end] === "\r") {
        if (from === text.length) this.#afterCarriageReturn = true;
        else if (text[from] === "\n") from += 1;
      }
      const message = line === "" ? this.#dispatch() : this.#field(line);
      if (message) messages.push(message);
    }
    this.#line += text.slice(from);
    return messages;
  }

  #field(line: string): undefined {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const name = colon === -1 ? line : line.slice(0, colon);
    let value = colon === -1 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    switch (name) {
      case "data":
        this.#data.push(value);
        break;
      case "event":
        this.#event = value;
        break;
      case "id":
        if (!value.includes("\0")) this.#id = value;
        break;
      case "retry":
        if (DIGITS.test(value)) this.retryMs = Number(value);
        break;
      default: // the standard says to pass over unknown fields
    }
  }

  #dispatch(): SseMessage | undefined {
    const id = this.#id;
    const message =
      this.#data.length === 0
        ? undefined
        : {
            event: this.#event || "message",
            data: this.#data.join("\n"),
            ...(id === undefined ? {} : { id }),
          };
    if (id !== undefined) this.lastEventId = id;
    this.#event = "";
    this.#data = [];
    this.#id = undefined;
    return message;
  }
}

export interface ReadSseOptions {
  parser?: SseParser;
  /** Called for every piece of the body, comments included: proof that the server is alive. */
  onActivity?: () => void;
}

/** The messages of a response body, until it ends. Leaving the loop early closes the body. */
export async function* readSse(
  body: ReadableStream<Uint8Array>,
  { parser = new SseParser(), onActivity }: ReadSseOptions = {},
): AsyncGenerator<SseMessage, void, undefined> {
  // The decoder keeps what is missing of a character; the byte order mark is the parser's affair.
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onActivity?.();
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
