/** A JSON value as a tree that folds. Long lists and texts are shown in parts. */

import { useSignal } from "@preact/signals";

import { html } from "../html.js";

/** Entries of a list or object that are shown at first, and with each further step. */
const PART = 100;

/** Characters of a text that are shown at first. */
const LONG = 500;

/** Levels that are open at first. */
const OPEN = 2;

/** @param {{ value: unknown, depth?: number }} props */
export function JsonTree({ value, depth = 0 }) {
  if (typeof value === "string") return html`<${Text} text=${value} />`;
  const entries = entriesOf(value);
  if (entries.length > 0) return html`<${Entries} entries=${entries} depth=${depth} />`;
  return html`<code class="json">${typeof value === "object" && value !== null ? (Array.isArray(value) ? "[]" : "{}") : String(value)}</code>`;
}

/** Return what is in a list or object; nothing for other values. @param {unknown} value @returns {[string, unknown][]} */
function entriesOf(value) {
  return typeof value === "object" && value !== null ? Object.entries(value) : [];
}

/** @param {{ name: string, value: unknown, depth: number }} props */
function Entry({ name, value, depth }) {
  const entries = entriesOf(value);
  const label = html`<span class="name">${name}</span>`;
  if (entries.length === 0) return html`<li>${label} <${JsonTree} value=${value} depth=${depth} /></li>`;
  const words = Array.isArray(value) ? `list of ${entries.length}` : summaryOf(entries);
  return html`<li><details open=${depth < OPEN}><summary>${label} <small>${words}</small></summary><${Entries} entries=${entries} depth=${depth} /></details></li>`;
}

/** @param {[string, unknown][]} entries */
function summaryOf(entries) {
  const named = entries.find(([name, each]) => ["type", "name", "role", "id"].includes(name) && typeof each === "string");
  return named ? `${named[0]}: ${String(named[1]).slice(0, 40)}` : entries.slice(0, 4).map(([name]) => name.slice(0, 20)).join(", ");
}

/** @param {{ entries: [string, unknown][], depth: number }} props */
function Entries({ entries, depth }) {
  const shown = useSignal(PART);
  return html`<ul class="json">
    ${entries.slice(0, shown.value).map(
      ([name, each]) => html`<${Entry} key=${name} name=${name} value=${each} depth=${depth + 1} />`,
    )}
    ${entries.length > shown.value &&
    html`<li><button onClick=${() => (shown.value += PART)}>Show more of ${entries.length}</button></li>`}
  </ul>`;
}

/** @param {{ text: string }} props */
function Text({ text }) {
  const isWhole = useSignal(text.length <= LONG);
  return html`<span class="json is-text">${isWhole.value ? text : text.slice(0, LONG)}</span>${!isWhole.value &&
  html` <button onClick=${() => (isWhole.value = true)}>Show all ${text.length} characters</button>`}`;
}
