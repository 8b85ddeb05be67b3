/** Shows what a person said: a text, images, or an input as JSON. */

import { JsonTree } from "../../components/json-tree.js";
import { html } from "../../html.js";
import { Picture } from "./images.js";

/** @param {{ turn: import("./conversation.js").Turn }} props */
export function Said({ turn }) {
  const { user_message: text, priority, metadata = {} } = turn.message.value;
  const { message = null, input = null } = turn.details.value ?? {};
  return html`<div class="said">
    ${input !== null ? html`<${JsonTree} value=${input} />` : Array.isArray(message) ? message.map((block) => html`<${Block} block=${block} />`) : html`<p class="words">${text}</p>`}
    ${(priority !== "normal" || Object.keys(metadata).length > 0) &&
    html`<small>${[priority !== "normal" && `priority ${priority}`, ...Object.entries(metadata).map(([name, value]) => `${name}=${value}`)].filter(Boolean).join(" · ")}</small>`}
  </div>`;
}

/** @param {{ block: Record<string, any> }} props */
function Block({ block }) {
  if (block.type === "text") return html`<p class="words">${block.text}</p>`;
  if (block.type === "image" && block.base64) return html`<${Picture} image=${{ mime: block.mime_type, base64: block.base64, name: "Attached image" }} />`;
  return html`<p class="words quiet">[${block.type}${block.url ? ` at ${block.url}` : ""}]</p>`;
}
