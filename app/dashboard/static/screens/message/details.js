/** Shows what a message was given, what it gave, what failed, and what it cost. */

import { client } from "../../client.js";
import { Moment } from "../../components/moment.js";
import { Problem } from "../../components/problem.js";
import { money, span, whole } from "../../format.js";
import { Hidden, isHidden } from "../../hiding.js";
import { html } from "../../html.js";
import { useLoaded } from "../../loading.js";
import { linkTo } from "../../router.js";

/** @typedef {import("agentq-client").MessageDetails} MessageDetails */

const LONGEST = 200_000;

/** Return a value as a text that people can read. @param {unknown} value */
function readable(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value, null, 2);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}\n… and ${whole(text.length - LONGEST)} characters more` : text;
}

/** @param {{ title: string, value: unknown }} props */
function Value({ title, value }) {
  if (value === null || value === undefined) return null;
  return html`<div class="stack tight"><h3>${title}</h3><pre class="scrolls" tabindex="0" aria-label=${title}>${readable(value)}</pre></div>`;
}

/** The submitted input, and the output besides the text. @param {{ message: MessageDetails }} props */
export function Given({ message }) {
  const { config, metadata } = message;
  const hasConfig = config.recursion_limit !== null || config.tags.length > 0 || Object.keys(config.configurable).length > 0;
  return html`<section class="card stack" aria-label="Input and output">
    <h2>Input and output</h2>
    <${Value} title="Message" value=${message.message} />
    <${Value} title="Input" value=${message.input} />
    <${Value} title="Command" value=${message.command} />
    ${message.continue && html`<p>It goes on where its thread stopped.</p>`}
    <${Value} title="Context" value=${message.context} />
    <${Value} title="Config" value=${hasConfig ? config : null} />
    <${Value} title="Metadata" value=${metadata && Object.keys(metadata).length > 0 ? metadata : null} />
    <${Value} title="Output" value=${message.output} />
  </section>`;
}

/** @param {{ message: MessageDetails }} props */
export function UsageCard({ message: { usage } }) {
  if (!usage) return null;
  /** @param {number} part @param {number} all */
  const cached = (part, all) => (part > 0 ? `${whole(all)}, ${whole(part)} of them cached` : whole(all));
  return html`<section class="card stack" aria-label="Usage">
    <div class="row spread"><h2>Usage</h2><strong class="number">${money(usage.cost)}${usage.cost !== null && !usage.cost_complete ? " at least" : ""}</strong></div>
    ${usage.cost === null && html`<p class="quiet">No price is known for these models. The setting PRICES_FILE names prices.</p>`}
    <div class="scrolls" tabindex="0" role="region" aria-label="Usage by model"><table>
      <thead><tr><th>Model</th><th>Calls</th><th>Tokens in</th><th>Tokens out</th><th>Cost</th></tr></thead>
      <tbody>
        ${usage.models.map(
          (each) => html`<tr key=${each.model}><td>${each.model}</td><td class="number">${whole(each.calls)}</td>
            <td class="number">${cached(each.cached_tokens, each.input_tokens)}</td><td class="number">${whole(each.output_tokens)}</td>
            <td class="number">${money(each.cost)}</td></tr>`,
        )}
      </tbody>
    </table></div>
  </section>`;
}

/** The error of a failed message, and its failed attempts. @param {{ message: MessageDetails }} props */
export function Failures({ message }) {
  const { error, error_code: code, attempts } = message;
  if (error === null && attempts.length === 0) return null;
  return html`<section class="card stack" aria-label="Errors">
    <h2>${error === null ? "Failed attempts" : "Error"}</h2>
    ${error !== null && html`<p class="fault"><strong>${error}</strong> <small>${code}</small></p>`}
    ${attempts.map(
      (each) => html`<details key=${each.attempt} open=${each === attempts.at(-1) && error !== null}>
        <summary>Attempt ${each.attempt}, <${Moment} at=${each.ended_at} />: ${each.error_type ?? each.error_code}</summary>
        <div class="stack tight">
          <p class="plain-text">${each.error}</p>
          <small>${[each.where, each.node && `node ${each.node}`, `worker ${each.worker_id}`, `ran ${span((Date.parse(each.ended_at) - Date.parse(each.started_at)) / 1000)}`].filter(Boolean).join(" · ")}</small>
          ${each.traceback && html`<pre class="scrolls" tabindex="0" aria-label="Traceback">${each.traceback}</pre>`}
        </div>
      </details>`,
    )}
    ${message.fingerprint && html`<p><a href=${linkTo(["messages"], { fingerprint: message.fingerprint })}>All messages with this failure</a></p>`}
  </section>`;
}

/** Beside a failed message, the last one of its agent that did not fail. @param {{ message: MessageDetails }} props */
export function LastGood({ message: { agent } }) {
  const { value, error, reload } = useLoaded(async (signal) => {
    const [page = []] = await firstPage(agent, signal);
    const [found] = page;
    return found ? client.message(found.message_id, { signal }) : null;
  }, [agent]);
  return html`<section class="card stack" aria-label="Last good message">
    <h2>Last good message of ${agent}</h2>
    ${error !== null && html`<${Problem} error=${error} retry=${reload} />`}
    ${value === null && html`<p class="quiet">This agent has not completed a message yet.</p>`}
    ${value &&
    html`<p><a href=${linkTo(["message", value.message_id])}>${isHidden("message", value.message_id) ? value.message_id : value.user_message}</a> <small><${Moment} at=${value.completed_at} />${value.agent_version && `, version ${value.agent_version}`}</small></p>
      ${isHidden("message", value.message_id)
        ? html`<${Hidden} kind="message" ids=${[value.message_id]} what="what was asked and answered" />`
        : html`<${Value} title="Input" value=${value.input ?? value.message} /><${Value} title="Result" value=${value.result} />`}`}
  </section>`;
}

/** @param {string} agent @param {AbortSignal} signal */
async function firstPage(agent, signal) {
  const { value } = await client.messages({ state: "completed", agent, limit: 1 }, { signal }).pages().next();
  return [value ?? []];
}
