/** The messages of a thread in a row, in the order in which they run. Those that wait can get another priority. */

import { client } from "../../client.js";
import { StateBadge } from "../../components/state-badge.js";
import { html } from "../../html.js";
import { attempt } from "../../notes.js";
import { linkTo } from "../../router.js";
import { may } from "../../session.js";

/** @param {{ conversation: import("../play/conversation.js").Conversation, areHidden: boolean }} props  `areHidden` tells whether texts are */
export function Lane({ conversation, areHidden }) {
  const { turns, hasEarlier, head } = conversation;
  return html`<ol class="lane" aria-label="Messages in their order" tabindex="0">
    ${hasEarlier.value && html`<li class="quiet">…</li>`}
    ${turns.value.map((turn) => html`<${Item} key=${turn.id} turn=${turn} isHead=${turn === head.value} areHidden=${areHidden} />`)}
  </ol>`;
}

/** @param {{ turn: import("../play/conversation.js").Turn, isHead: boolean, areHidden: boolean }} props */
function Item({ turn, isHead, areHidden }) {
  const { state, user_message: text, priority } = turn.message.value;
  const isOff = !may("control");
  /** @param {{ currentTarget: HTMLSelectElement }} event */
  const changed = ({ currentTarget: { value } }) =>
    attempt(async () => {
      turn.message.value = { ...turn.message.value, ...(await client.setPriority(turn.id, /** @type {any} */ (value))) };
      return `The priority is now ${value}.`;
    });
  return html`<li class="card" aria-current=${isHead ? "step" : null}>
    <${StateBadge} state=${state} />
    <a href=${linkTo(["message", turn.id])}><bdi>${areHidden ? turn.id : text}</bdi></a>
    ${state === "queued" &&
    html`<select aria-label="Priority" value=${priority} disabled=${isOff} title=${isOff ? "Needs the scope control" : null} onChange=${changed}>
      ${["high", "normal", "low"].map((each) => html`<option>${each}</option>`)}</select>`}
  </li>`;
}
