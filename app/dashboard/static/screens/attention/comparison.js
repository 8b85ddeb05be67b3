/** The newest failed message of a group beside the last good one of the same agent. */

import { client } from "../../client.js";
import { SideBySide } from "../../components/diff.js";
import { Moment } from "../../components/moment.js";
import { Problem } from "../../components/problem.js";
import { Hidden, isHidden } from "../../hiding.js";
import { html } from "../../html.js";
import { useLoaded } from "../../loading.js";
import { linkTo } from "../../router.js";

/** @typedef {import("agentq-client").MessageDetails} Details */

/** @param {{ fingerprint: string }} props */
export function Comparison({ fingerprint }) {
  const { value, error, reload } = useLoaded((signal) => load(fingerprint, { signal }), [fingerprint]);
  if (error !== null) return html`<${Problem} error=${error} retry=${reload} />`;
  if (value === undefined) return html`<p class="quiet" role="status">Loading…</p>`;
  const { bad, good } = value;
  if (bad === null) return html`<p class="quiet">The messages of this group are gone: retried or deleted meanwhile.</p>`;
  const ids = [bad, good].flatMap((each) => each?.message_id ?? []);
  if (ids.some((id) => isHidden("message", id))) return html`<${Hidden} kind="message" ids=${ids} what="both messages and their answers" />`;
  const last = bad.attempts.at(-1);
  return html`<div class="stack">
    ${good === null
      ? html`<p class="quiet">No message of the agent ${bad.agent} that completed is kept, so there is none to compare with.</p>
          <pre tabindex="0">${inputOf(bad)}</pre>`
      : html`<h4>What was asked</h4>
          <${SideBySide} titles=${[titleOf("Failed", bad), titleOf("Last good", good)]} texts=${[inputOf(bad), inputOf(good)]} />
          ${bad.agent_version !== good.agent_version &&
          html`<p>Another version of the agent: <code>${bad.agent_version ?? "none"}</code>, and <code>${good.agent_version ?? "none"}</code> for the good one.</p>`}`}
    <h4>How it ended</h4>
    <div class="side-by-side">
      <div class="stack">
        <p class="fault">${bad.error}</p>
        ${last?.where && html`<p class="quiet">${last.node && `In the node ${last.node}, `}${last.where}</p>`}
        ${last?.traceback && html`<pre tabindex="0" aria-label="Traceback">${last.traceback}</pre>`}
      </div>
      ${good && html`<pre tabindex="0" aria-label="Its answer">${good.result ?? JSON.stringify(good.output, null, 2)}</pre>`}
    </div>
  </div>`;
}

/** @param {string} word @param {Details} message */
function titleOf(word, { message_id: id, created_at: at }) {
  return html`<a href=${linkTo(["message", id])}>${word}</a> <small><${Moment} at=${at} /></small>`;
}

/** @param {Details} message */
function inputOf({ message, input, user_message: text }) {
  if (typeof message === "string") return message;
  const given = message ?? input;
  return given === null ? text : JSON.stringify(given, null, 2);
}

/** @param {string} fingerprint @param {{ signal: AbortSignal }} options @returns {Promise<{ bad: Details | null, good: Details | null }>} */
async function load(fingerprint, options) {
  const { value: failed } = await client.deadLetters.list({ fingerprint, limit: 1 }, options).pages().next();
  const [newest] = failed ?? [];
  if (!newest) return { bad: null, good: null };
  const { value: done } = await client.messages({ state: "completed", agent: newest.agent, limit: 1 }, options).pages().next();
  const [last] = done ?? [];
  const [bad, good] = await Promise.all([
    client.message(newest.message_id, options),
    last ? client.message(last.message_id, options) : null,
  ]);
  return { bad, good };
}
