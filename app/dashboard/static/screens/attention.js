/** The list of all that needs a person: agents that ask, and messages that failed for good. */

import { html } from "../html.js";
import { Failures } from "./attention/failures.js";
import { Questions } from "./attention/questions.js";

export default function Attention() {
  return html`
    <div class="heading"><h1>Needs a person</h1></div>
    <div class="stack">
      <${Questions} />
      <${Failures} />
    </div>
  `;
}
