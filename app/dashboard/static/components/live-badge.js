/** Whether what is shown is the present: live, reconnecting since when, or paused by a person. */

import { html } from "../html.js";
import { useShortcuts } from "../keyboard.js";
import { isPaused, live } from "../live.js";
import { span } from "../format.js";
import { now } from "./moment.js";

export function LiveBadge() {
  const toggle = () => (isPaused.value = !isPaused.value);
  useShortcuts([{ keys: "l", label: "Pause or continue live updates", run: toggle }]);
  const { status, since } = live.value;
  const [kind, word, title] = isPaused.value
    ? ["warning", "paused", "Live updates (L)"]
    : {
        live: ["good", "live", "Live updates (L)"],
        slow: ["good", "every 5 s", "Other windows have all live connections of this browser. Close one of them to have live updates here. (L)"],
        reconnecting: ["bad", `reconnecting, ${span(Math.max(0, Math.round((now.value - since) / 1000)))}`, "Live updates (L)"],
      }[status];
  return html`<button class="plain" aria-pressed=${isPaused.value} title=${title} onClick=${toggle}>
    <span class="badge" data-kind=${kind}><svg viewBox="0 0 16 16" aria-hidden="true"><circle cx="8" cy="8" r="5" fill="currentColor" /></svg>${word}</span>
  </button>`;
}
