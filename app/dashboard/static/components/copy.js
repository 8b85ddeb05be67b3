/** A button that copies a text. */

import { html } from "../html.js";
import { attempt } from "../notes.js";

/** @param {{ text: () => string, label?: string }} props */
export function Copy({ text, label = "Copy" }) {
  return html`<button class="plain" onClick=${() => attempt(() => copy(text()))}>${label}</button>`;
}

/** Copy a text and return what was done. Throws if the browser forbids it. @param {string} text */
export async function copy(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
  } else {
    copyByHand(text);
  }
  return "Copied.";
}

/** Browsers have no clipboard for pages without HTTPS, but know the old command. @param {string} text */
function copyByHand(text) {
  const area = document.createElement("textarea");
  area.value = text;
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const isDone = document.execCommand("copy");
  area.remove();
  if (!isDone) throw new Error("The browser does not let this page copy. Select the text and copy it by hand.");
}
