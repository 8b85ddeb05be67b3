/** The blocks of a markdown text that grows: only its end is read anew, since the blocks before cannot change any more. */

import { Lexer } from "marked";

/** How much of a text is read in one go, in characters. A long one takes several frames. */
const PORTION = 1_500;

/** Blocks at the end that what follows may still change, as a list goes on behind an empty line. */
const UNSURE = 3;

/** Paragraphs and lists of more characters are shown as several: a page would format all of one again for each word. */
const LONG = 2_000;

/** Where a paragraph can be parted: behind a sentence, before a letter, which begins no list, heading or table. */
const SENTENCE = /[.!?…]\s+(?=\p{L})/gu;

/** Number of texts whose ends are kept. */
const KEPT_ENDS = 8;

/** Where the texts end that were parted last. While a paragraph grows, its end is read again and again. @typedef {Map<string, number>} Ends */

/** Where a paragraph without sentences can be parted. */
const WORD = /\s+(?=\p{L})/gu;

/** Keeps the blocks of the text that it was given last. */
export class Blocks {
  constructor() {
    /** @type {string[]} */
    this.raws = [];
    this.read = "";
    /** @type {Ends} */
    this.ends = new Map();
  }

  /** Return whether the blocks are those of the whole text. @param {string} text */
  isComplete(text) {
    return this.read === text;
  }

  /** Read the next portion of a text that may differ from the one before. Return the sources of the blocks. @param {string} text */
  take(text) {
    let from = 0;
    let sure = 0;
    // Compare with the text, not only its length: when the answer is taken back, another may follow.
    while (sure < this.raws.length && text.startsWith(/** @type {string} */ (this.raws[sure]), from)) {
      from += /** @type {string} */ (this.raws[sure]).length;
      sure++;
    }
    if (sure < this.raws.length || from < text.length) {
      for (let unsure = 0; unsure < UNSURE && sure > 0; unsure++) from -= /** @type {string} */ (this.raws[--sure]).length;
    }
    const to = Math.min(text.length, Math.max(from, Math.min(this.read.length, text.length)) + PORTION);
    const raws = new Lexer({ gfm: true }).blockTokens(text.slice(from, to), []).flatMap((token) => parts(token, this.ends));
    const isExact = raws.join("") === text.slice(from, to);
    this.raws = [...this.raws.slice(0, sure), ...(isExact ? raws : [text.slice(from, to)])];
    this.read = text.slice(0, to);
    return this.raws;
  }
}

/**
 * Return the sources of the blocks that a block is shown as, which are together its own. Where it is parted does not depend on
 * how it goes on, so that parts stay the same while it grows.
 * @param {import("marked").Token} token
 * @param {Ends} ends
 * @returns {string[]}
 */
function parts(token, ends) {
  const { type, raw } = token;
  if (raw.length <= LONG) return [raw];
  if (type === "paragraph") return sentences(token, ends);
  if (type === "list") return groups(/** @type {import("marked").Tokens.List} */ (token));
  return [raw];
}

/** Part a list between items. The first part is no longer than LONG unless one item is. @param {import("marked").Tokens.List} list */
function groups({ raw, items }) {
  /** @type {string[]} */
  const found = [];
  for (const item of items) {
    const last = found.at(-1);
    if (last !== undefined && last.length + item.raw.length <= LONG) found[found.length - 1] = last + item.raw;
    else found.push(item.raw);
  }
  const before = found.slice(0, -1).join("");
  return raw.startsWith(before) && raw.length > before.length ? [...found.slice(0, -1), raw.slice(before.length)] : [raw];
}

/** Return where a text of the length LONG is parted. @param {string} text @param {Ends} ends */
function keptEnd(text, ends) {
  const known = ends.get(text);
  if (known !== undefined) return known;
  const [oldest] = ends.keys();
  if (oldest !== undefined && ends.size >= KEPT_ENDS) ends.delete(oldest);
  const end = endIn(text) ?? text.length;
  ends.set(text, end);
  return end;
}

/** Part a paragraph where nothing is open, as an emphasis or a link. @param {import("marked").Token} paragraph @param {Ends} ends */
function sentences({ raw }, ends) {
  /** @type {string[]} */
  const found = [];
  let from = 0;
  while (raw.length - from > LONG) {
    const end = from + keptEnd(raw.slice(from, from + LONG), ends);
    found.push(raw.slice(from, end));
    from = end;
  }
  return [...found, raw.slice(from)];
}

/** Return where the last sentence ends, or else the last word, outside of all that is open. Null if neither does. @param {string} text */
function endIn(text) {
  /** @type {number | null} */
  let word = null;
  let end = text.length;
  for (const token of new Lexer({ gfm: true }).inlineTokens(text).reverse()) {
    end -= token.raw.length;
    if (token.type !== "text") continue;
    const sentence = lastOf(SENTENCE, token.raw);
    if (sentence !== null) return end + sentence;
    const other = lastOf(WORD, token.raw);
    if (other !== null) word ??= end + other;
  }
  return word;
}

/** Return where the last match ends; null without one. @param {RegExp} pattern @param {string} text */
function lastOf(pattern, text) {
  const found = [...text.matchAll(pattern)].at(-1);
  return found ? found.index + found[0].length : null;
}
