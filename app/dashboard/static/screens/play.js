/** A chat with any agent, or with two of them side by side. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { client } from "../client.js";
import { Confirmation } from "../components/dialog.js";
import { Empty } from "../components/empty.js";
import { Problem } from "../components/problem.js";
import { Hidden, isHidden, show } from "../hiding.js";
import { html } from "../html.js";
import { useShortcuts } from "../keyboard.js";
import { useLoaded } from "../loading.js";
import { attempt, tell } from "../notes.js";
import { go, linkTo } from "../router.js";
import { may } from "../session.js";
import { Composer } from "./play/composer.js";
import { useConversation } from "./play/conversation.js";
import { draftOf, placeBefore } from "./play/sending.js";
import { Transcript } from "./play/transcript.js";

/** @typedef {import("agentq-client").Agent} Agent */
/** @typedef {import("./play/conversation.js").Conversation} Conversation */
/** @typedef {import("./play/conversation.js").Turn} Turn */
/** @typedef {ReturnType<typeof import("./play/sending.js").bodyOf>} Body */

/**
 * One of the conversations that are shown.
 * @typedef {{ threadId: string | null, conversation: Conversation | null, agent: Agent | null, field: "agent" | "other" }} Side
 */

/** @param {import("../screens.js").ScreenProps} props */
export default function Play({ parts, query }) {
  const agents = useLoaded((signal) => client.agents.list({ signal }), []);
  const isTwo = query.has("other");
  const sides = [
    useSide(parts[0] ?? null, query.get("agent"), agents.value ?? [], "agent"),
    useSide(query.get("beside"), query.get("other"), agents.value ?? [], "other"),
  ].slice(0, isTwo ? 2 : 1);
  const write = useRef(/** @type {(part: object) => void} */ (() => undefined));
  const hasSent = useRef(false);
  const [first] = sides;
  const running = sides.flatMap(({ conversation }) => (conversation?.head.value ? [conversation.head.value] : []));

  /** @param {Record<string, string | null>} changes */
  const move = (changes) => go(["play", ...parts], { ...Object.fromEntries(query), ...changes });
  const begin = () => go(["play"], { agent: first?.agent?.name, ...(isTwo && { other: sides[1]?.agent?.name }) });
  const compare = () => move(isTwo ? { other: null, beside: null } : { other: (agents.value?.[1] ?? agents.value?.[0])?.name ?? null });
  const stop = () => {
    const now = sides.flatMap(({ conversation }) => conversation?.head.peek() ?? []);
    if (now.length > 0 && may("control")) void attempt(() => Promise.all(now.map(({ id }) => client.cancel(id))).then(() => "Stopped."));
  };
  useShortcuts([
    { keys: "n", label: "Begin a new conversation", run: begin },
    { keys: "escape", label: "Stop the answer", run: stop },
  ]);
  /** @param {Body} body @param {import("./play/sending.js").Draft} draft */
  const send = async (body, draft) => {
    hasSent.current = true;
    const threads = await Promise.all(sides.map((side, at) => submit(side, body, draft, at)));
    const [thread, beside] = threads;
    if (thread !== (parts[0] ?? null) || (isTwo && beside !== query.get("beside"))) {
      go(["play", thread ?? ""], { ...Object.fromEntries(query), ...(isTwo && { beside: beside ?? null }) }, { replace: true });
    }
  };
  return html`
    <div class="heading"><h1>Play</h1>
      <div class="actions"><button onClick=${begin}>New conversation</button><button aria-pressed=${isTwo} onClick=${compare}>${isTwo ? "Show one agent" : "Compare two agents"}</button></div>
    </div>
    ${agents.error !== null && html`<${Problem} error=${agents.error} retry=${agents.reload} />`}
    ${agents.value?.length === 0 && html`<${Empty} title="No agent yet" command="AGENTS=name=module:graph agentq serve">A worker tells which agents it has. Start one:</${Empty}>`}
    <div class="play ${isTwo ? "is-two" : ""}">
      ${sides.map((side) => html`<${Pane} key=${side.field} side=${side} agents=${agents.value ?? []} write=${write} onAgent=${(/** @type {string} */ name) => move({ [side.field]: name })} />`)}
    </div>
    <${Composer} key=${parts[0] ?? ""} name="play:${parts[0] ?? ""}" agent=${first?.agent ?? null} isRunning=${running.length > 0} takesFocus=${hasSent.current}
      onStop=${stop} onSend=${send} connect=${(/** @type {any} */ writer) => (write.current = writer)} />
  `;
}

/** @type {(threadId: string | null, name: string | null, agents: readonly Agent[], field: Side["field"]) => Side} */
function useSide(threadId, name, agents, field) {
  const conversation = useConversation(threadId);
  const last = conversation?.turns.value.at(-1)?.message.value.agent;
  const agent = agents.find((each) => each.name === (name ?? last)) ?? agents.find(({ is_default: isDefault }) => isDefault) ?? null;
  return { threadId, conversation, agent, field };
}

/**
 * Submit what was typed to a side. Return the thread that it went to.
 * @param {Side} side
 * @param {Body} body
 * @param {import("./play/sending.js").Draft} draft
 * @param {number} at  the place of the side
 */
async function submit({ threadId, conversation, agent }, { message, ...fields }, { edits, key }, at) {
  const edited = edits !== null && threadId !== null && conversation?.turns.peek().some(({ id }) => id === edits);
  const place = edited ? await placeBefore(threadId, edits) : undefined;
  if (place === null) tell("The first message was edited, which begins a new conversation.");
  const thread = threadId === null || place === null ? `${key}${at || ""}` : threadId; // another try goes to the same thread
  const options = { idempotencyKey: `${key}-${at}` };
  show("thread", [thread]); // who writes into a conversation reads it
  const accepted = await client.submit(
    message ?? null,
    { ...fields, agent: agent?.name ?? null, thread_id: thread, ...(place && { checkpoint_id: place, if_busy: "interrupt" }) },
    options,
  );
  if (thread === threadId) await conversation?.add(accepted.message_id);
  return thread;
}

/**
 * @param {{ side: Side, agents: readonly Agent[], onAgent: (name: string) => void, write: { current: (part: object) => void } }} props
 *   `write` changes what is typed.
 */
function Pane({ side: { threadId, conversation, agent }, agents, onAgent, write }) {
  const asked = useSignal(/** @type {Turn | null} */ (null));
  const end = useRef(/** @type {HTMLDivElement | null} */ (null));
  useBottom(end);
  /** @param {Turn} turn */
  const regenerate = (turn) =>
    attempt(async () => {
      const { message_id: id, rolled_back: gone } = await client.regenerate(turn.id, { if_busy: "interrupt" });
      conversation?.forget([turn.id, ...gone]);
      await conversation?.add(id);
      return "The message is answered anew.";
    });
  const actions = {
    /** @param {Turn} turn */
    regenerate: (turn) => {
      if (conversation?.turns.peek().at(-1) === turn) void regenerate(turn);
      else asked.value = turn;
    },
    /** @param {Turn} turn */
    edit: async (turn) => {
      await conversation?.loadDetails(turn);
      write.current({ ...draftOf(turn), edits: turn.id });
    },
  };
  const chosen = asked.value;
  return html`<section class="pane stack" aria-label=${agent?.name ?? "Conversation"}>
    <div class="row">
      <label class="row"><small>Agent</small><select value=${agent?.name ?? ""} onChange=${(/** @type {any} */ event) => onAgent(event.currentTarget.value)}>
        ${agents.map((each) => html`<option value=${each.name}>${each.name}${each.error ? " (cannot be run)" : ""}</option>`)}
      </select></label>
      ${agent?.description && html`<small class="about">${agent.description}</small>`}
      ${threadId !== null && html`<a class="button plain" href=${linkTo(["threads", threadId])}>Thread</a>`}
    </div>
    ${agent?.error && html`<p class="warning">${agent.error}</p>`}
    ${conversation && threadId !== null && isHidden("thread", threadId)
      ? html`<${Hidden} kind="thread" ids=${[threadId]} what="the messages of this conversation" />`
      : conversation ? html`<${Transcript} conversation=${conversation} actions=${actions} label="Conversation" />` : html`<${Empty} title="A new conversation">Write the first message below.</${Empty}>`}
    <div ref=${end}></div>
    ${chosen &&
    html`<${Confirmation} title="Answer this message anew?" word="Answer anew" onConfirm=${() => void regenerate(chosen)} onClose=${() => (asked.value = null)}>
      The agent forgets the messages that followed. They stay in the list of messages.
    </${Confirmation}>`}
  </section>`;
}

/** How near to the end of the page a reader has to be to be kept there, in pixels. */
const NEAR = 160;

/** Keep the end in sight while the page grows, unless the reader has scrolled up. @param {{ current: HTMLElement | null }} end */
function useBottom(end) {
  useEffect(() => {
    const root = document.documentElement;
    let isNear = true;
    const look = () => (isNear = root.scrollHeight - root.scrollTop - root.clientHeight < NEAR);
    const sizes = new ResizeObserver(() => {
      if (isNear) root.scrollTop = root.scrollHeight;
    });
    addEventListener("scroll", look, { passive: true });
    if (end.current?.parentElement) sizes.observe(end.current.parentElement);
    return () => {
      removeEventListener("scroll", look);
      sizes.disconnect();
    };
  }, []);
}
