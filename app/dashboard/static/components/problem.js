/** An error in words: what happened, what to do, and how to find it in the log. */

import { AgentQError } from "agentq-client";

import { html } from "../html.js";
import { partsOf } from "../notes.js";

/** @param {{ error: unknown, retry?: () => void }} props */
export function Problem({ error, retry }) {
  const known = error instanceof AgentQError ? error : null;
  const { what, cure } = partsOf(error);
  return html`<div class="problem" role="alert">
    <p><strong>${what}</strong></p>
    ${cure && html`<p>${cure}</p>`}
    <div class="row">
      ${retry && html`<button onClick=${() => retry()}>Try again</button>`}
      ${known && html`<small>${known.code}${known.requestId && `, request ${known.requestId}`}</small>`}
    </div>
  </div>`;
}
