/** The text of an answer while it is written: what was discarded is gone, and no text is handed out twice. */

import { TextDiverged } from "../errors.js";
import type { StreamEvent } from "../events.js";

interface Piece {
  readonly id: number;
  readonly message: string | null;
  readonly text: string;
}

/** Keeps the answer as it is after the events so far. */
export class AnswerText {
  /** The answer so far. */
  text = "";
  #pieces: Piece[] = [];

  /** Apply an event. Return whether the text may have lost a part. */
  take(event: StreamEvent): boolean {
    switch (event.type) {
      case "content":
        this.#pieces.push({ id: event.id ?? 0, message: event.message, text: event.text });
        this.text += event.text;
        return false;
      case "discard":
        this.#keep(this.#pieces.filter(({ id, message }) => id < event.discardFrom || message !== event.message));
        return true;
      case "retry":
      case "resumed":
        this.#keep(this.#pieces.filter(({ id }) => id < event.discardFrom));
        return true;
      case "reset":
      case "done":
        this.#keep([{ id: event.id ?? 0, message: null, text: event.text }]);
        return true;
      default:
        return false;
    }
  }

  #keep(pieces: Piece[]): void {
    this.#pieces = pieces;
    this.text = pieces.map(({ text }) => text).join("");
  }
}

/** Hands out the answer's text once, although an attempt that is tried again writes it again. */
export class TextFeed {
  #shown = "";
  #ahead = "";

  /**
   * Return the text to hand out after an event that `answer` has taken; `lost` is what its `take` returned. Throws
   * TextDiverged if the text that was handed out is not the beginning of the answer.
   */
  take(event: StreamEvent, answer: AnswerText, lost: boolean): string {
    if (event.type === "content") return this.#piece(event.text);
    if (!lost) return "";
    if (event.type === "discard" && event.kept && this.#ahead === "") {
      this.#shown = answer.text; // what was handed out stays in the conversation, as a step before the answer
      return "";
    }
    return this.#align(answer.text, event.type === "done");
  }

  #piece(piece: string): string {
    if (this.#ahead.startsWith(piece)) {
      this.#ahead = this.#ahead.slice(piece.length);
      return "";
    }
    if (!piece.startsWith(this.#ahead)) {
      throw new TextDiverged("The next attempt says something else than the text before.");
    }
    const news = piece.slice(this.#ahead.length);
    this.#ahead = "";
    this.#shown += news;
    return news;
  }

  #align(text: string, isEnd: boolean): string {
    if (text.startsWith(this.#shown)) {
      const news = text.slice(this.#shown.length);
      this.#shown = text;
      this.#ahead = "";
      return news;
    }
    if (this.#shown.startsWith(text) && !isEnd) {
      this.#ahead = this.#shown.slice(text.length);
      return "";
    }
    throw new TextDiverged("The answer is another than the text that was handed out.");
  }
}
