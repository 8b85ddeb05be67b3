/** An answer with its steps: text as Markdown, reasoning and tool calls folded. */

import { html } from "../html.js";
import { JsonTree } from "./json-tree.js";
import { Markdown } from "./markdown.js";

/** @typedef {import("../answer.js").Part} Part */
/** @typedef {import("../answer.js").ToolPart} ToolPart */

/** @param {{ parts: readonly Part[], isWriting?: boolean }} props */
export function AnswerView({ parts, isWriting = false }) {
  return html`<div class="reply" aria-busy=${isWriting}>
    ${parts.map((part, at) => html`<${One} key=${`${part.kind} ${part.id} ${at}`} part=${part} isLast=${isWriting && at === parts.length - 1} />`)}
  </div>`;
}

/** @param {{ part: Part, isLast: boolean }} props */
function One({ part, isLast }) {
  switch (part.kind) {
    case "tool":
      return html`<${ToolCall} part=${part} />`;
    case "custom":
      return html`<details class="step"><summary>Value of the agent's code</summary><${JsonTree} value=${part.value} /></details>`;
    case "reasoning":
      return html`<details class="step" open=${isLast}><summary>Reasoning</summary><${Markdown} text=${part.text} /></details>`;
    default:
      return html`<div class=${part.isStep ? "quiet" : ""}><${Markdown} text=${part.text} /></div>`;
  }
}

/** @param {{ part: ToolPart }} props */
export function ToolCall({ part }) {
  const { name, args, result, status } = part;
  const said = result === null ? "works…" : status === "error" ? "failed" : "answered";
  return html`<details class="step">
    <summary>Tool <code>${name}</code> <small>${said}</small></summary>
    <div class="stack">
      <div><small>Given</small><${JsonTree} value=${args} /></div>
      ${result !== null && html`<div><small>Result</small><pre class="result" tabindex="0">${result}</pre></div>`}
    </div>
  </details>`;
}
