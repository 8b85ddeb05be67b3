/** A turn of a conversation: what was said, the answer as far as it is written, and what can be done with both. */

import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { client } from "../../client.js";
import { AnswerForm } from "../../components/answer-form.js";
import { AnswerView } from "../../components/answer-view.js";
import { Copy } from "../../components/copy.js";
import { JsonTree } from "../../components/json-tree.js";
import { now } from "../../components/moment.js";
import { StateBadge } from "../../components/state-badge.js";
import { money, plural, short, span } from "../../format.js";
import { html } from "../../html.js";
import { attempt } from "../../notes.js";
import { linkTo } from "../../router.js";
import { may } from "../../session.js";
import { isOver } from "./conversation.js";
import { Said } from "./said.js";

/** @typedef {import("./conversation.js").Turn} Turn */
/** @typedef {import("./conversation.js").Conversation} Conversation */

/**
 * The actions that a screen offers for a turn; without them, the turn is only shown.
 * @typedef {{ regenerate: (turn: Turn) => void, edit: (turn: Turn) => void }} TurnActions
 */

/** @param {{ turn: Turn, conversation: Conversation, actions?: TurnActions | null }} props */
export function TurnView({ turn, conversation, actions = null }) {
  const element = useRef(/** @type {HTMLElement | null} */ (null));
  const isWanted = isOver(turn) && turn.details.value === null;
  useEffect(() => {
    if (!isWanted || !element.current) return undefined;
    const sight = new IntersectionObserver(([entry]) => {
      if (!entry?.isIntersecting) return;
      sight.disconnect();
      void conversation.loadDetails(turn);
    });
    sight.observe(element.current);
    return () => sight.disconnect();
  }, [turn, isWanted]);
  const { state, created_at: at } = turn.message.value;
  return html`<li ref=${element} class="turn" data-state=${state} aria-label="Message of ${at}">
    <${Said} turn=${turn} />
    <${Reply} turn=${turn} conversation=${conversation} />
    <${Foot} turn=${turn} actions=${actions} />
  </li>`;
}

/** @param {{ turn: Turn, conversation: Conversation }} props */
function Reply({ turn, conversation }) {
  const { state, result, interrupts = [], error } = turn.message.value;
  const answer = turn.answer.value;
  const isHead = useComputed(() => conversation.head.value === turn).value;
  const isCut = conversation.isCut.value && isHead;
  const questions = answer?.questions.length ? answer.questions : interrupts;
  const fallback = result ? [{ kind: "text", id: 0, text: result, message: null, node: null, isStep: false, pieces: [] }] : [];
  return html`
    <${AnswerView} parts=${answer?.parts ?? fallback} isWriting=${state === "processing"} />
    ${answer?.output !== null && answer?.output !== undefined && html`<details class="step"><summary>Output</summary><${JsonTree} value=${answer.output} /></details>`}
    ${isCut && html`<p class="warning" role="status">The connection was lost. It is tried again, and the answer goes on where it stopped.</p>`}
    ${state === "queued" && html`<${Waits} turn=${turn} isHead=${isHead} />`}
    ${state === "interrupted" && questions.length > 0 && html`<${AnswerForm} messageId=${turn.id} questions=${questions} />`}
    ${state === "failed" && html`<${Failed} turn=${turn} error=${answer?.error ?? error ?? ""} />`}
  `;
}

/** @param {{ turn: Turn, isHead: boolean }} props */
function Waits({ turn, isHead }) {
  const { waiting_reason: known, queue_position: place, estimated_start_at: start, priority } = turn.message.value;
  const { waiting, retry } = turn.answer.value ?? {};
  const position = waiting ? waiting.position : place;
  const eta = waiting ? waiting.eta : start ? new Date(start) : null;
  const words = [
    retry && `The attempt before failed: ${retry.error.replace(/\.$/, "")}.`,
    !isHead && "Waits behind the message above.",
    isHead && position !== null && (position === 0 ? "It is the next." : `${plural(position, "message is", "messages are")} before it.`),
    isHead && eta && `Starts in about ${span(Math.max(1, (eta.getTime() - now.value) / 1000))}.`,
    isHead && (waiting?.reason ?? known?.message),
  ];
  const isOff = !may("control");
  /** @param {{ currentTarget: HTMLSelectElement }} event */
  const changed = ({ currentTarget: { value } }) =>
    attempt(async () => {
      turn.message.value = { ...turn.message.value, ...(await client.setPriority(turn.id, /** @type {any} */ (value))) };
      return `The priority is now ${value}.`;
    });
  const cancel = () => attempt(async () => (await client.cancel(turn.id), "Cancelled."));
  return html`<div class="row waits">
    <p role="status">${words.filter(Boolean).join(" ")}</p>
    <label class="row"><small>Priority</small>
      <select value=${priority} disabled=${isOff} onChange=${changed}>${["high", "normal", "low"].map((each) => html`<option>${each}</option>`)}</select>
    </label>
    <button disabled=${isOff} title=${isOff ? "Needs the scope control" : null} onClick=${cancel}>Cancel</button>
  </div>`;
}

/** @param {{ turn: Turn, error: string }} props */
function Failed({ turn, error }) {
  const isOff = !may("control");
  const retry = () => attempt(async () => (await client.retry(turn.id), "It is queued again."));
  return html`<div class="problem" role="alert">
    <p><strong>The agent failed.</strong> ${error}</p>
    <div class="row">
      <button disabled=${isOff} title=${isOff ? "Needs the scope control" : null} onClick=${retry}>Retry</button>
      <small>${turn.message.value.error_code}</small>
    </div>
  </div>`;
}

/** @param {{ turn: Turn, actions: TurnActions | null }} props */
function Foot({ turn, actions }) {
  const { state, agent, started_at: started, completed_at: ended, result } = turn.message.value;
  const usage = turn.details.value?.usage;
  const isDone = isOver(turn);
  const facts = [
    agent,
    started && ended && span((Date.parse(ended) - Date.parse(started)) / 1000),
    usage && `${short(usage.input_tokens)} tokens in, ${short(usage.output_tokens)} out`,
    usage?.cost && `${money(usage.cost)}${usage.cost_complete ? "" : " at least"}`,
  ];
  const isOff = !may("submit");
  const why = isOff ? "Needs the scope submit" : null;
  return html`<div class="row foot">
    <${StateBadge} state=${state} />
    <small>${facts.filter(Boolean).join(" · ")}</small>
    <span class="row actions">
      ${result && html`<${Copy} label="Copy" text=${() => result} />`}
      ${actions && isDone && html`<button class="plain" disabled=${isOff} title=${why} onClick=${() => actions.regenerate(turn)}>Answer anew</button>`}
      ${actions && html`<button class="plain" disabled=${isOff} title=${why} onClick=${() => actions.edit(turn)}>Edit</button>`}
      <a class="button plain" href=${linkTo(["message", turn.id])}>Details</a>
    </span>
  </div>`;
}

/** The turns that the agent no longer remembers, folded. @param {{ turns: readonly Turn[], conversation: Conversation }} props */
export function Forgotten({ turns, conversation }) {
  const isOpen = useSignal(false);
  return html`<li class="forgotten">
    <details onToggle=${(/** @type {any} */ event) => (isOpen.value = event.currentTarget.open)}>
      <summary>${plural(turns.length, "message")} that the agent no longer remembers</summary>
      ${isOpen.value && html`<ul class="turns">${turns.map((turn) => html`<${TurnView} key=${turn.id} turn=${turn} conversation=${conversation} />`)}</ul>`}
    </details>
  </li>`;
}
