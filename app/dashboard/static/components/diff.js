/** Two texts side by side, with what one has and the other lacks marked by a mark and a ground, word by word. */

import { useMemo } from "preact/hooks";

import { html } from "../html.js";

/** Most words of a text that are compared. Longer texts are shown without marks. */
const MOST = 600;

/** @typedef {{ text: string, isOwn: boolean }} Piece  `isOwn` if the other text lacks it */

/** @param {string} text */
function wordsOf(text) {
  return text.match(/\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? [];
}

/**
 * Return both texts in pieces, by the longest common sequence of their words.
 * @param {string} left
 * @param {string} right
 * @returns {[Piece[], Piece[]]}
 */
export function compare(left, right) {
  const [a, b] = [wordsOf(left), wordsOf(right)];
  if (a.length > MOST || b.length > MOST) return [[{ text: left, isOwn: false }], [{ text: right, isOwn: false }]];
  const width = b.length + 1;
  const longest = new Uint16Array((a.length + 1) * width);
  const at = (/** @type {number} */ i, /** @type {number} */ j) => longest[i * width + j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      longest[i * width + j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  /** @type {[Piece[], Piece[]]} */
  const found = [[], []];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      add(found[0], a[i++], false);
      add(found[1], b[j++], false);
    } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) {
      add(found[0], a[i++], true);
    } else {
      add(found[1], b[j++], true);
    }
  }
  return found;
}

/** @param {Piece[]} pieces @param {string | undefined} word @param {boolean} isOwn */
function add(pieces, word = "", isOwn) {
  const last = pieces.at(-1);
  if (last?.isOwn === isOwn) last.text += word;
  else pieces.push({ text: word, isOwn });
}

/**
 * The texts under their titles.
 * @param {{ titles: readonly [import("preact").ComponentChildren, import("preact").ComponentChildren], texts: readonly [string, string] }} props
 */
export function SideBySide({ titles, texts }) {
  const both = useMemo(() => compare(...texts), texts);
  return html`<div class="side-by-side">
    ${both.map(
      (pieces, side) => html`<div class="stack">
        <div>${titles[side]}</div>
        <pre tabindex="0">${pieces.map(({ text, isOwn }) => (isOwn ? html`<mark>${text}</mark>` : text))}</pre>
      </div>`,
    )}
  </div>`;
}
