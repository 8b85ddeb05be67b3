/** Goes back over the events of a message: a slider, and playing as it happened. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { span, whole } from "../../format.js";
import { html } from "../../html.js";

/** A pause between two events is at most so long when they are played. */
const LONGEST_PAUSE_MS = 1_000;

const SPEEDS = [1, 4, 16];

/**
 * @param {{ log: import("./log.js").MessageLog, at: import("@preact/signals").Signal<number | null> }} props
 *   `at` is how many events are shown; null for all, also those that come
 */
export function Scrubber({ log, at }) {
  void log.version.value;
  const isPlaying = useSignal(false);
  const speed = useSignal(1);
  useEffect(() => (isPlaying.value ? play(log, at, isPlaying, speed) : undefined), [isPlaying.value]);
  const count = log.events.length;
  if (count < 2) return null;
  const shown = at.value ?? count;
  const time = ((log.times[shown - 1] ?? 0) - (log.times[0] ?? 0)) / 1000;
  /** @param {any} event */
  const moved = (event) => {
    const to = Number(event.currentTarget.value);
    at.value = to >= log.events.length ? null : to;
  };
  const toggle = () => {
    if (!isPlaying.value && at.value === null) at.value = 1;
    isPlaying.value = !isPlaying.value;
  };
  const words = `Event ${whole(shown)} of ${whole(count)}, ${span(Math.max(0, time))} after the first`;
  return html`<div class="scrubber row" role="group" aria-label="Replay">
    <button onClick=${toggle}>${isPlaying.value ? "Pause" : "Play"}</button>
    <select aria-label="Speed" onChange=${(/** @type {any} */ event) => (speed.value = Number(event.currentTarget.value))}>
      ${SPEEDS.map((each) => html`<option value=${each} selected=${each === speed.value}>${each} ×</option>`)}
    </select>
    <input type="range" min="1" max=${count} value=${shown} aria-label="The answer after event" aria-valuetext=${words} onInput=${moved} />
    ${at.value !== null && html`<button onClick=${() => (at.value = null)}>${log.status.value === "live" ? "Back to live" : "To the end"}</button>`}
    <small class="number">${words}</small>
  </div>`;
}

/**
 * Show the events at the pace at which they were stored. Return a function that stops it.
 * @param {import("./log.js").MessageLog} log
 * @param {import("@preact/signals").Signal<number | null>} at
 * @param {import("@preact/signals").Signal<boolean>} isPlaying
 * @param {import("@preact/signals").Signal<number>} speed
 */
function play(log, at, isPlaying, speed) {
  let before = performance.now();
  let ahead = 0;
  let frame = requestAnimationFrame(step);
  return () => cancelAnimationFrame(frame);

  /** @param {number} now */
  function step(now) {
    ahead += (now - before) * speed.peek();
    before = now;
    let count = at.peek() ?? log.events.length;
    while (count < log.events.length) {
      const pause = Math.min(LONGEST_PAUSE_MS, Math.max(0, (log.times[count] ?? 0) - (log.times[count - 1] ?? 0)));
      if (pause > ahead) break;
      ahead -= pause;
      count++;
    }
    const isOver = count >= log.events.length;
    at.value = isOver ? null : count;
    if (isOver) isPlaying.value = false;
    else frame = requestAnimationFrame(step);
  }
}
