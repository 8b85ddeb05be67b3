/** Shows the next step on a screen that has nothing yet. */

import { html } from "../html.js";

/** @param {{ title: string, command?: string, children?: import("preact").ComponentChildren }} props */
export function Empty({ title, command, children }) {
  return html`<div class="empty">
    <h2>${title}</h2>
    <p>${children}</p>
    ${command && html`<pre>${command}</pre>`}
  </div>`;
}
