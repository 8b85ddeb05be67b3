/** The head of a message: how it is, and what can be done with it. */

import { useSignal } from "@preact/signals";

import { client } from "../../client.js";
import { Confirmation } from "../../components/dialog.js";
import { Moment } from "../../components/moment.js";
import { StateBadge } from "../../components/state-badge.js";
import { isHidden } from "../../hiding.js";
import { html } from "../../html.js";
import { useShortcuts } from "../../keyboard.js";
import { UNFINISHED } from "../../message-states.js";
import { attempt } from "../../notes.js";
import { linkTo } from "../../router.js";
import { may } from "../../session.js";
import { CopyDialog } from "./copy-dialog.js";
import { EditDialog } from "./edit-dialog.js";

/** @typedef {import("agentq-client").MessageDetails} MessageDetails */

/** @type {readonly import("agentq-client").Priority[]} */
const PRIORITIES = ["high", "normal", "low"];

const SHOW_FIRST = "Show the texts of this message first.";

/** @param {{ message: MessageDetails, isStale: boolean, reload: () => Promise<void> }} props */
export function Head({ message, isStale, reload }) {
  const { state } = message;
  return html`<div class="heading">
    <h1 class="clamped">${(!isHidden("message", message.message_id) && message.user_message) || "Message"}</h1>
    <${Actions} message=${message} reload=${reload} />
  </div>
  <dl class="facts ${isStale ? "stale" : ""}">
    <div><dt>State</dt><dd><${StateBadge} state=${state} />${message.cancel_requested && state === "processing" && html` <small>is being cancelled</small>`}</dd></div>
    <div><dt>Attempt</dt><dd class="number">${message.attempt}${message.max_attempts ? ` of ${message.max_attempts}` : ""}</dd></div>
    <div><dt>Priority</dt><dd><${PriorityChoice} message=${message} reload=${reload} /></dd></div>
    <div><dt>Agent</dt><dd>${message.agent}${message.agent_version && html` <small>version ${message.agent_version}</small>`}</dd></div>
    <div><dt>Thread</dt><dd>${message.thread_id ? html`<a href=${linkTo(["threads", message.thread_id])}>${message.thread_id}</a>` : "none"}</dd></div>
    ${message.subject && html`<div><dt>For</dt><dd>${message.subject}</dd></div>`}
    <div><dt>Accepted</dt><dd><${Moment} at=${message.created_at} /></dd></div>
    <div><dt>Id</dt><dd><code>${message.message_id}</code></dd></div>
  </dl>`;
}

/** @param {{ message: MessageDetails, reload: () => Promise<void> }} props */
function PriorityChoice({ message, reload }) {
  if (message.state !== "queued" || !may("control")) return html`${message.priority}`;
  /** @param {any} event */
  const changed = async (event) => {
    const to = event.currentTarget.value;
    await attempt(() => client.setPriority(message.message_id, to).then(() => `The priority is ${to} now.`));
    await reload();
  };
  return html`<select aria-label="Priority" onChange=${changed}>
    ${PRIORITIES.map((each) => html`<option value=${each} selected=${each === message.priority}>${each}</option>`)}
  </select>`;
}

/** @param {{ message: MessageDetails, reload: () => Promise<void> }} props */
function Actions({ message, reload }) {
  const over = useSignal(/** @type {"cancel" | "edit" | "copy" | null} */ (null));
  const { message_id: id, state } = message;
  const close = () => (over.value = null);
  const mayControl = may("control");
  const canCancel = UNFINISHED.has(state) && !message.cancel_requested;
  const canRetry = state === "failed";
  const areHidden = isHidden("message", id);
  const cancel = async () => {
    await attempt(() => client.cancel(id).then(({ message: words }) => words));
    await reload();
  };
  const retry = async () => {
    await attempt(() => client.retry(id).then(() => "Queued again."));
    await reload();
  };
  // The rights of a key are asked when it is pressed.
  useShortcuts([
    { keys: "c", label: "Cancel this message", run: () => void (canCancel && mayControl && (over.value = "cancel")) },
    { keys: "r", label: "Retry this message", run: () => void (canRetry && mayControl && retry()) },
    { keys: "e", label: "Edit this message and send it again", run: () => void (may("submit") && !isHidden("message", id) && (over.value = "edit")) },
    { keys: "y", label: "Copy this message as a command", run: () => void (!isHidden("message", id) && (over.value = "copy")) },
  ]);
  const why = mayControl ? null : "Needs the scope control, which you do not have.";
  return html`<div class="actions">
    ${canCancel && html`<button class="danger" disabled=${!mayControl} title=${why ?? "Cancel (C)"} onClick=${() => (over.value = "cancel")}>Cancel</button>`}
    ${canRetry && html`<button class="primary" disabled=${!mayControl} title=${why ?? "Retry (R)"} onClick=${retry}>Retry</button>`}
    <button disabled=${!may("submit") || areHidden} title=${!may("submit") ? "Needs the scope submit, which you do not have." : areHidden ? SHOW_FIRST : "Edit and send again (E)"} onClick=${() => (over.value = "edit")}>Edit and send again</button>
    <button disabled=${areHidden} title=${areHidden ? SHOW_FIRST : "Copy as (Y)"} onClick=${() => (over.value = "copy")}>Copy as…</button>
    ${over.value === "cancel" &&
    html`<${Confirmation} title="Cancel this message?" word="Cancel it" onConfirm=${cancel} onClose=${close}>
      ${state === "processing" ? "Its agent stops. What was written so far stays in the events." : "It will not run."}
    </${Confirmation}>`}
    ${over.value === "edit" && html`<${EditDialog} message=${message} onClose=${close} />`}
    ${over.value === "copy" && html`<${CopyDialog} message=${message} onClose=${close} />`}
  </div>`;
}
