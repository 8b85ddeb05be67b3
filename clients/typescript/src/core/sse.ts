/** Splits bytes into server-sent events, as the WHATWG standard defines them. */

/** A longer line or event is not from a server of this kind, and is not kept in memory. */
export const MAX_EVENT_CHARACTERS = 64 * 1024 * 1024;

/** One server-sent event. `id` is the last id that the connection gave, or null. */
export interface Frame {
  readonly event: string;
  readonly id: string | null;
  readonly data: string;
}

/** Turns the bytes of one connection into frames, however they are cut. `retryMs` is null until a `retry:`. */
export class FrameReader {
  retryMs: number | null = null;
  readonly #decoder = new TextDecoder();
  #line = "";
  #afterReturn = false;
  #event = "";
  #id: string | null = null;
  #data: string[] = [];
  #characters = 0;

  /** Return the frames that end in `piece`. Throws an `Error` for a line or an event without an end. */
  feed(piece: Uint8Array): Frame[] {
    const text = this.#decoder.decode(piece, { stream: true });
    const frames: Frame[] = [];
    const lineEnd = /[\r\n]/g;
    // A return ended its line at once; a line feed that follows it belongs to the same line end.
    let from = this.#afterReturn && text.startsWith("\n") ? 1 : 0;
    if (text !== "") this.#afterReturn = false;
    for (;;) {
      lineEnd.lastIndex = from;
      const end = lineEnd.exec(text)?.index;
      if (end === undefined) break;
      this.#take(this.#line + text.slice(from, end), frames);
      this.#line = "";
      from = end + 1;
      if (text[end] === "\r") {
        if (from === text.length) this.#afterReturn = true;
        else if (text[from] === "\n") from += 1;
      }
    }
    this.#line += text.slice(from);
    if (this.#line.length + this.#characters > MAX_EVENT_CHARACTERS) {
      throw new Error(`an event of more than ${MAX_EVENT_CHARACTERS} characters`);
    }
    return frames;
  }

  #take(line: string, frames: Frame[]): void {
    if (line === "") {
      if (this.#data.length > 0) {
        frames.push({ event: this.#event || "message", id: this.#id, data: this.#data.join("\n") });
      }
      this.#event = "";
      this.#data = [];
      this.#characters = 0;
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
    if (name === "data") {
      this.#data.push(value);
      this.#characters += line.length + 1;
    } else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && /^\d{1,9}$/.test(value)) this.retryMs = Number(value);
  }
}
