/** One thread: its messages in a lane and as a transcript, and the states that its agent keeps. */

import { NotFound } from "agentq-client";
import { useSignal } from "@preact/signals";

import { client } from "../../client.js";
import { Copy } from "../../components/copy.js";
import { Dialog } from "../../components/dialog.js";
import { Empty } from "../../components/empty.js";
import { Moment } from "../../components/moment.js";
import { Problem } from "../../components/problem.js";
import { download } from "../../download.js";
import { plural } from "../../format.js";
import { Hidden, isHidden } from "../../hiding.js";
import { html } from "../../html.js";
import { useShortcuts } from "../../keyboard.js";
import { useChanges } from "../../live.js";
import { useLoaded } from "../../loading.js";
import { attempt, wordsOf } from "../../notes.js";
import { go, linkTo } from "../../router.js";
import { may } from "../../session.js";
import { useConversation } from "../play/conversation.js";
import { Transcript } from "../play/transcript.js";
import { Deletion } from "./deletion.js";
import { Lane } from "./lane.js";
import { States } from "./states.js";
import { ThreadBadge } from "./thread-badge.js";

/** @typedef {import("agentq-client").Thread} Thread */

/** @param {{ threadId: string, query: URLSearchParams }} props */
export function ThreadView({ threadId, query }) {
  const { value: thread, error, isStale, reload } = useLoaded((signal) => client.threads.get(threadId, { signal }), [threadId]);
  const conversation = useConversation(threadId);
  const over = useSignal(/** @type {"name" | "deletion" | null} */ (null));
  const isStates = query.get("view") === "states";
  useChanges(({ changes, isReset }) => {
    if (isReset || changes.some((change) => change.type !== "reset" && change.thread_id === threadId)) void reload();
  });
  useShortcuts([
    { keys: "o", label: "Open the thread in Play", run: () => go(["play", threadId]) },
    { keys: "s", label: "Show the messages or the states", run: () => go(["threads", threadId], isStates ? {} : { view: "states" }) },
    { keys: "e", label: "Rename the thread", run: () => may("control") && !isHidden("thread", threadId) && (over.value = "name") },
  ]);
  if (error instanceof NotFound) {
    return html`<div class="heading"><h1>Threads</h1></div><${Empty} title="There is no such thread">It may have been deleted. <a href=${linkTo(["threads"])}>Show all threads</a></${Empty}>`;
  }
  if (!thread || !conversation) return error === null ? html`<p class="quiet" role="status">Loading…</p>` : html`<${Problem} error=${error} retry=${reload} />`;
  const close = () => (over.value = null);
  return html`
    <${Head} thread=${thread} ask=${(/** @type {"name" | "deletion"} */ what) => (over.value = what)} />
    <div class="stack">
      ${error !== null && html`<${Problem} error=${error} retry=${reload} />`}
      <div class=${isStale ? "stale" : ""}><${Facts} thread=${thread} /></div>
      <${Lane} conversation=${conversation} areHidden=${isHidden("thread", threadId)} />
      <nav class="tabs" aria-label="Parts of the thread"><ul>
        <li><a href=${linkTo(["threads", threadId])} aria-current=${isStates ? null : "true"}>Messages</a></li>
        <li><a href=${linkTo(["threads", threadId], { view: "states" })} aria-current=${isStates ? "true" : null}>States</a></li>
      </ul></nav>
      ${isHidden("thread", threadId)
        ? html`<${Hidden} kind="thread" ids=${[threadId]} what="the name, the messages, the metadata and the states of this thread" />`
        : isStates
        ? html`<${States} threadId=${threadId} query=${query} version=${thread.last_activity} />`
        : html`<div class="transcript"><${Transcript} conversation=${conversation} label="Messages of the thread" /></div>`}
    </div>
    ${over.value === "name" && html`<${Renaming} thread=${thread} onDone=${reload} onClose=${close} />`}
    ${over.value === "deletion" && html`<${Deletion} thread=${thread} onDone=${() => go(["threads"], {}, { replace: true })} onClose=${close} />`}
  `;
}

/** @param {{ thread: Thread, ask: (what: "name" | "deletion") => void }} props */
function Head({ thread, ask }) {
  const { thread_id: id, name, status } = thread;
  const isOff = !may("control");
  const why = isOff ? "Needs the scope control" : null;
  const areHidden = isHidden("thread", id);
  return html`<div class="heading"><h1 class="thread-name"><bdi>${areHidden ? id : (name ?? id)}</bdi></h1><${ThreadBadge} status=${status} />
    <div class="actions">
      <a class="button" href=${linkTo(["play", id])}>Open in Play</a>
      <button disabled=${isOff || areHidden} title=${why ?? (areHidden ? "Show the texts of this thread first." : null)} onClick=${() => ask("name")}>Rename</button>
      <button onClick=${() => exportThread(id)}>Export</button>
      <button class="danger" disabled=${isOff} title=${why} onClick=${() => ask("deletion")}>Delete</button>
    </div>
  </div>`;
}

/** @param {{ thread: Thread }} props */
function Facts({ thread }) {
  const { thread_id: id, name, message_count: count, metadata, forked_from: source, subject } = thread;
  return html`<p class="row facts">${name && html`<code><bdi>${id}</bdi></code>`}<${Copy} label="Copy the id" text=${() => id} />
    <small>${plural(count, "message")}, begun <${Moment} at=${thread.created_at} />, last active <${Moment} at=${thread.last_activity} /></small>
    ${subject && html`<small>of the end user <bdi>${subject}</bdi></small>`}
    ${source && html`<small>forked from <a href=${linkTo(["threads", source.thread_id])}><bdi>${source.thread_id}</bdi></a></small>`}
    ${!isHidden("thread", id) && Object.entries(metadata).map(([key, value]) => html`<small><bdi>${key}=${String(value)}</bdi></small>`)}
  </p>`;
}

/** Save the messages of a thread, one a line, oldest first. @param {string} threadId */
async function exportThread(threadId) {
  await attempt(async () => {
    /** @type {string[]} */
    const lines = [];
    for await (const message of client.threads.messages(threadId)) lines.push(`${JSON.stringify(message)}\n`);
    download(`${threadId}.jsonl`, lines, "application/jsonl");
    return `${plural(lines.length, "message")} exported.`;
  });
}

/** @param {{ thread: Thread, onDone: () => void, onClose: () => void }} props */
function Renaming({ thread, onDone, onClose }) {
  const name = useSignal(thread.name ?? "");
  const problem = useSignal("");
  /** @param {Event} event */
  const submitted = async (event) => {
    event.preventDefault();
    try {
      await client.threads.change(thread.thread_id, { name: name.value.trim() || null });
      onDone();
      onClose();
    } catch (error) {
      problem.value = wordsOf(error);
    }
  };
  return html`<${Dialog} title="Rename the thread" onClose=${onClose}>
    <form class="stack" onSubmit=${submitted}>
      <label for="thread-name">Name</label>
      <input id="thread-name" value=${name} onInput=${(/** @type {any} */ event) => (name.value = event.currentTarget.value)} autofocus />
      <p role="alert" class="fault">${problem}</p>
      <div class="row"><button class="primary">Save</button><button type="button" onClick=${onClose}>Leave it</button></div>
    </form>
  </${Dialog}>`;
}
