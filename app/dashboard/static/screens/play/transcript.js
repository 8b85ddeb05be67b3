/** The turns of a conversation in their order, and what came before them. */

import { Problem } from "../../components/problem.js";
import { html } from "../../html.js";
import { Markdown } from "../../components/markdown.js";
import { isOver } from "./conversation.js";
import { Forgotten, TurnView } from "./turn.js";

/** @typedef {import("./conversation.js").Turn} Turn */
/** @typedef {import("./conversation.js").Conversation} Conversation */

/** @param {{ conversation: Conversation, actions?: import("./turn.js").TurnActions | null, label: string }} props */
export function Transcript({ conversation, actions = null, label }) {
  const { problem, isLoading, hasEarlier } = conversation;
  const groups = grouped(conversation);
  return html`<div class="stack">
    ${problem.value !== null && html`<${Problem} error=${problem.value} retry=${() => void conversation.reload()} />`}
    ${isLoading.value && html`<p class="quiet" role="status">Loading…</p>`}
    ${hasEarlier.value && html`<button onClick=${() => void conversation.loadEarlier()}>Show earlier messages</button>`}
    <${Before} conversation=${conversation} />
    <ol class="turns" aria-label=${label}>
      ${groups.map((turns) =>
        turns.isForgotten
          ? html`<${Forgotten} key=${turns.list[0]?.id} turns=${turns.list} conversation=${conversation} />`
          : turns.list.map((turn) => html`<${TurnView} key=${turn.id} turn=${turn} conversation=${conversation} actions=${actions} />`),
      )}
    </ol>
  </div>`;
}

/** Return the turns in groups of neighbours that the agent remembers or not. @param {Conversation} conversation */
function grouped({ turns, memory }) {
  const ids = memory.value && new Set(memory.value.map(({ id }) => id));
  /** @type {{ isForgotten: boolean, list: Turn[] }[]} */
  const groups = [];
  for (const turn of turns.value) {
    const { started_at: started } = turn.message.value;
    const names = [turn.id, turn.details.value?.client_message_id];
    const isForgotten = ids !== null && isOver(turn) && started !== null && !names.some((name) => name && ids.has(name));
    const last = groups.at(-1);
    if (last?.isForgotten === isForgotten) last.list.push(turn);
    else groups.push({ isForgotten, list: [turn] });
  }
  return groups;
}

const SPEAKERS = /** @type {Record<string, string>} */ ({ human: "said", user: "said" });

/** The messages that the agent remembers from before the first message, such as that of the thread from which this one was forked.
 * @param {{ conversation: Conversation }} props */
function Before({ conversation }) {
  const { memory, turns, hasEarlier } = conversation;
  if (memory.value === null || hasEarlier.value) return null;
  const ids = new Set(turns.value.map(({ id }) => id));
  const first = memory.value.findIndex(({ id }) => id !== null && ids.has(id));
  const before = memory.value.slice(0, first < 0 ? memory.value.length : first).filter(({ text }) => text.trim() !== "");
  if (before.length === 0 || (first < 0 && turns.value.some((turn) => isOver(turn)))) return null;
  return html`<details class="before" open><summary>What the agent remembers from before</summary>
    <ul class="turns">${before.map(({ role, text }) => html`<li class=${SPEAKERS[role] ?? "reply"}>${SPEAKERS[role] ? html`<p class="words">${text}</p>` : html`<${Markdown} text=${text} />`}</li>`)}</ul>
  </details>`;
}
