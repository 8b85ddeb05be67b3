/** One message: its life on a time axis, its answer as it is or was, its events, and what can be done with it. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { client } from "../client.js";
import { AnswerForm } from "../components/answer-form.js";
import { Problem } from "../components/problem.js";
import { Hidden, isHidden } from "../hiding.js";
import { html } from "../html.js";
import { useChanges } from "../live.js";
import { useLoaded } from "../loading.js";
import { ENDED } from "../message-states.js";
import { tell } from "../notes.js";
import { linkTo } from "../router.js";
import { Answer } from "./message/answer.js";
import { Failures, Given, LastGood, UsageCard } from "./message/details.js";
import { Events } from "./message/events.js";
import { Head } from "./message/head.js";
import { useLog } from "./message/log.js";
import { TimeAxis } from "./message/time-axis.js";

/** @typedef {import("agentq-client").MessageDetails} MessageDetails */

const NOT_FOUND = 404;

/** @param {import("../screens.js").ScreenProps} props */
export default function Message({ parts: [id = ""], query }) {
  if (id === "") {
    return html`<div class="empty"><h1>Which message?</h1>
      <p>Choose one from <a href=${linkTo(["messages"])}>all messages</a>, or type its id into the command palette (Ctrl K).</p></div>`;
  }
  return html`<${Loaded} key=${id} id=${id} query=${query} />`;
}

/** @param {{ id: string, query: URLSearchParams }} props */
function Loaded({ id, query }) {
  const { value, error, isStale, reload } = useLoaded((signal) => client.message(id, { signal }), [id]);
  const isGone = Object(error).status === NOT_FOUND;
  if (!value) {
    if (isGone) return html`<${Gone} id=${id} />`;
    return error === null ? html`<p class="quiet" role="status">Loading…</p>` : html`<${Problem} error=${error} retry=${reload} />`;
  }
  return html`<${Shown} ...${{ message: value, error: isGone ? null : error, isStale, isGone, query, reload }} />`;
}

/** @param {{ id: string }} props */
function Gone({ id }) {
  return html`<div class="empty"><h1>There is no such message</h1>
    <p><code>${id}</code> is not here. It may have been deleted with its thread or after the days of RETENTION_DAYS, or it
      belongs to somebody else. <a href=${linkTo(["messages"])}>Show all messages</a></p></div>`;
}

/**
 * @param {{ message: MessageDetails, error: unknown, isStale: boolean, isGone: boolean, query: URLSearchParams,
 *   reload: () => Promise<void> }} props
 */
function Shown({ message, error, isStale, isGone, query, reload }) {
  const { message_id: id, state } = message;
  const log = useLog(id, !ENDED.has(state) && !isGone, message.completed_at);
  const at = useSignal(/** @type {number | null} */ (null));
  useFresh(message, log, reload);
  const logError = log.error.value;
  const isLogGone = Object(logError).status === NOT_FOUND;
  useEffect(() => void (isLogGone && !isGone && reload()), [isLogGone]);
  const areHidden = isHidden("message", id);
  const retry = () => {
    log.restart();
    void reload();
  };
  return html`<div class="message-screen stack">
    ${isGone && html`<div class="problem" role="alert"><p><strong>This message was deleted.</strong> What was loaded before is still shown. <a href=${linkTo(["messages"])}>Show all messages</a></p></div>`}
    ${error !== null && html`<${Problem} error=${error} retry=${reload} />`}
    ${logError !== null && !isLogGone && !isGone && html`<${Problem} error=${logError} retry=${retry} />`}
    <${Head} message=${message} isStale=${isStale} reload=${reload} />
    ${areHidden && html`<${Hidden} kind="message" ids=${[id]} what="what was asked and answered, the steps between, metadata and questions" />`}
    ${state === "interrupted" && !isGone && !areHidden && html`<section class="card stack" aria-label="Question"><h2>The agent asks</h2>
      <${AnswerForm} messageId=${id} questions=${message.interrupts ?? []} onAnswered=${() => answered(reload)} /></section>`}
    <${TimeAxis} message=${message} log=${log} />
    <${Pruned} message=${message} log=${log} />
    <div class="halves">
      <div class="stack">
        <${Answer} message=${message} log=${log} at=${at} />
        <${Failures} message=${message} />
        ${!areHidden && html`<${Given} message=${message} />`}
      </div>
      <div class="stack">
        <${Events} messageId=${id} query=${query} log=${log} at=${at} />
        ${state === "failed" && html`<${LastGood} message=${message} />`}
        <${UsageCard} message=${message} />
      </div>
    </div>
  </div>`;
}

/** @param {() => Promise<void>} reload */
function answered(reload) {
  tell("Answered. The message is queued again.");
  void reload();
}

/**
 * Load the message again when it has changed: its state by the server's changes, its attempts by its events.
 * @type {(message: MessageDetails, log: import("./message/log.js").MessageLog, reload: () => Promise<void>) => void}
 */
function useFresh({ message_id: id }, log, reload) {
  useChanges(({ changes, isReset }) => {
    const isConcerned = changes.some((each) => each.type !== "reset" && each.message_id === id);
    const isThreadGone = changes.some(({ type }) => type === "thread.deleted");
    if (isConcerned || isThreadGone || isReset) void reload();
  });
  const status = log.status.value;
  useEffect(() => void (status === "ended" && log.firstLive !== null && reload()), [status]);
}

/** Says why the log begins late. @param {{ message: MessageDetails, log: import("./message/log.js").MessageLog }} props */
function Pruned({ message, log }) {
  void log.version.value;
  const first = log.events[0];
  const isPruned = first ? first.type === "reset" || (first.id ?? 0) > 1 : log.status.value !== "loading" && message.started_at !== null && log.error.value === null && log.isListed;
  if (!isPruned) return null;
  return html`<p class="quiet">Earlier events are no longer kept: the server deletes them after EVENT_RETENTION_HOURS, and when a
    message is retried. The result and the times of its attempts stay.</p>`;
}
