/** Shortcuts: single keys, and sequences of two such as `g m`. */

import { useLayoutEffect } from "preact/hooks";

/**
 * @typedef {object} Shortcut
 * @property {string} keys  such as `r` or `g m`; `mod` is Ctrl, or Command on a Mac
 * @property {string} label  what it does, for the list of shortcuts
 * @property {(event: KeyboardEvent) => void} run
 */

const SEQUENCE_MS = 1_000;

/** Where keys are text. Escape leaves them. */
const FIELDS = 'input:not([type="checkbox"], [type="radio"]), textarea, select, [contenteditable]';

/** @type {Set<readonly Shortcut[]>} */
const active = new Set();

let before = "";
let beforeAt = 0;

addEventListener("keydown", (event) => {
  const key = nameOf(event);
  const field = event.target instanceof HTMLElement ? event.target.closest(FIELDS) : null;
  if (event.isComposing) return;
  if (field && key === "escape" && !field.closest("dialog")) /** @type {HTMLElement} */ (field).blur();
  if (field && !key.startsWith("mod+")) return;
  const sequence = event.timeStamp - beforeAt < SEQUENCE_MS ? `${before} ${key}` : key;
  const found = find(sequence) ?? find(key);
  before = found ? "" : key;
  beforeAt = event.timeStamp;
  if (!found || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  found.run(event);
});

/** @param {KeyboardEvent} event */
function nameOf(event) {
  const key = event.key.length === 1 ? event.key : event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) return `mod+${key.toLowerCase()}`;
  return event.altKey ? `alt+${key}` : key;
}

const IS_MAC = /^Mac|^iP/.test(navigator.platform);

/** @type {Record<string, string>} */
const WORDS = { "mod+k": IS_MAC ? "⌘ K" : "Ctrl K", enter: "Enter", escape: "Esc" };

/** Return the keys of a shortcut as they stand on a keyboard, one after the other. @param {string} keys */
export function keysInWords(keys) {
  return keys.split(" ").map((key) => WORDS[key] ?? key);
}

/** @param {string} keys */
function find(keys) {
  return shortcuts().find((each) => each.keys === keys);
}

/** Return the shortcuts of what is shown, those of the newest part first. */
export function shortcuts() {
  return [...active].reverse().flat();
}

/**
 * Have the shortcuts while a component is shown.
 * @param {readonly Shortcut[]} given
 */
export function useShortcuts(given) {
  useLayoutEffect(() => {
    active.add(given);
    return () => void active.delete(given);
  });
}
