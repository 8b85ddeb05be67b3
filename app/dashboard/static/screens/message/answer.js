/** The answer: live while it is written, or as it was after any event. */

import { useEffect, useMemo, useRef } from "preact/hooks";

import { ToolCall } from "../../components/answer-view.js";
import { Markdown } from "../../components/markdown.js";
import { now } from "../../components/moment.js";
import { plural, span } from "../../format.js";
import { isHidden } from "../../hiding.js";
import { html } from "../../html.js";
import { Replay, stepsOf } from "./replay.js";
import { Scrubber } from "./scrubber.js";

/** @typedef {import("agentq-client").MessageDetails} MessageDetails */
/** @typedef {import("./log.js").MessageLog} MessageLog */

/** How much of the past the speed of a running answer is of. */
const SPEED_MS = 5_000;

/** Characters of a token, about. Providers tell the number of tokens at the end only. */
const TOKEN = 4;

/** How near to its end an answer is kept in sight while it grows, in pixels. */
const NEAR = 60;

/**
 * @param {{ message: MessageDetails, log: MessageLog, at: import("@preact/signals").Signal<number | null> }} props
 */
export function Answer({ message, log, at }) {
  const version = log.version.value;
  const { events } = log;
  const replay = useMemo(() => new Replay(events), [events]);
  const isPast = at.value !== null;
  const count = at.value ?? events.length;
  const areHidden = isHidden("message", message.message_id);
  // Without events, as when they are no longer kept, the message has its result.
  const answer = isPast ? replay.after(count) : log.answer;
  const text = areHidden ? "" : answer.text || (!isPast && log.status.value === "ended" ? (message.result ?? "") : "");
  const steps = useMemo(() => stepsOf(areHidden ? [] : answer.view.parts), [events, areHidden, isPast && count, log.slowVersion.value]);
  const isWriting = log.status.value === "live" && message.state === "processing";
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const wasNear = useRef(true);
  useEffect(() => {
    const element = box.current;
    if (element && isWriting && !isPast && wasNear.current) element.scrollTop = element.scrollHeight;
  }, [version]);
  const scrolled = () => {
    const { scrollHeight = 0, scrollTop = 0, clientHeight = 0 } = box.current ?? {};
    wasNear.current = scrollHeight - scrollTop - clientHeight < NEAR;
  };
  return html`<section class="card stack answer-card" aria-label="Answer">
    <div class="row spread"><h2>Answer</h2> <small class="number">${isPast ? `as it was after event ${count}` : speedOf(message, log)}</small></div>
    ${!isPast && message.state === "queued" && html`<${WaitingWords} message=${message} log=${log} />`}
    ${steps.reasoning && html`<details><summary>Reasoning</summary><div class="scrolls" tabindex="0" role="region" aria-label="Reasoning"><p class="quiet plain-text">${steps.reasoning}</p></div></details>`}
    ${steps.calls.map((call) => html`<${ToolCall} key=${call.id} part=${call} />`)}
    ${text
      ? html`<div class="scrolls long" ref=${box} onScroll=${scrolled} tabindex="0" role="region" aria-label="Text of the answer"><${Markdown} text=${text} /></div>`
      : html`<p class="quiet">${areHidden ? "The text is hidden." : nothingYet(message, isPast)}</p>`}
    <${Scrubber} log=${log} at=${at} />
  </section>`;
}

/** @type {(message: MessageDetails, isPast: boolean) => string} */
function nothingYet({ state }, isPast) {
  if (isPast) return "Nothing was written yet.";
  if (state === "queued") return "The answer is shown here while it is written.";
  return state === "processing" ? "Nothing is written yet." : "There is no text.";
}

/** @param {{ message: MessageDetails, log: MessageLog }} props */
function WaitingWords({ message, log }) {
  const { position, eta, reason } = log.waiting.value ?? {
    position: message.queue_position,
    eta: message.estimated_start_at ? new Date(message.estimated_start_at) : null,
    reason: message.waiting_reason?.message ?? null,
  };
  const rest = eta === null ? null : (eta.getTime() - now.value) / 1000;
  const start = rest === null ? "" : rest > 0 ? ` It starts in about ${span(rest)}.` : " It should start now.";
  const before = position === null ? "It waits." : position === 0 ? "It is the next one." : `${plural(position, "message")} before it.`;
  return html`<p role="status"><strong>${before}</strong>${start} ${reason}</p>`;
}

/** Return how fast the answer is written or was written, in words; empty if that is not known. @type {(message: MessageDetails, log: MessageLog) => string} */
function speedOf(message, log) {
  const { events, times } = log;
  const isWriting = message.state === "processing";
  const since = isWriting ? Date.now() - SPEED_MS : -Infinity;
  let characters = 0;
  let [first, last] = [Infinity, -Infinity];
  for (let at = events.length - 1; at >= 0 && (times[at] ?? 0) >= since; at--) {
    const event = events[at];
    if (event?.type === "retry" || event?.type === "resumed") break; // what an earlier attempt wrote is not the answer
    if (event?.type !== "content" && event?.type !== "reasoning") continue;
    characters += event.text.length;
    first = times[at] ?? first;
    last = Math.max(last, times[at] ?? last);
  }
  const seconds = ((isWriting ? Date.now() : last) - first) / 1000;
  if (!(seconds > 0.1)) return "";
  return `about ${(characters / TOKEN / seconds).toFixed(1)} tokens a second`;
}
