/** A time as seen from now, which goes on by itself. The exact time is shown under the pointer. */

import { signal } from "@preact/signals";

import { absolute, ago, UNKNOWN } from "../format.js";
import { html } from "../html.js";

const EVERY_MS = 1_000;

/** The present, in milliseconds. It stands still while the page is hidden. */
export const now = signal(Date.now());

setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, EVERY_MS);

/** @param {{ at: string | null | undefined }} props */
export function Moment({ at }) {
  if (!at) return UNKNOWN;
  return html`<time datetime=${at} title=${absolute(at)}>${ago(at, now.value)}</time>`;
}
