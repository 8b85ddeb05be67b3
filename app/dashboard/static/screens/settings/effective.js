/** The settings of the process that answers: what each means, its value, where that comes from, and its default. */

import { useSignal } from "@preact/signals";

import { client } from "../../client.js";
import { Problem } from "../../components/problem.js";
import { plural, whole } from "../../format.js";
import { html } from "../../html.js";
import { useShortcuts } from "../../keyboard.js";
import { useLoaded } from "../../loading.js";
import { may } from "../../session.js";

/** @typedef {import("agentq-client/operators").Setting} Setting */

/** @type {Record<Setting["source"], string>} */
const SOURCES = { environment: "environment", file: ".env", default: "default" };

export function Effective() {
  if (!may("admin")) return html`<section class="card stack" aria-label="Settings of the server">
    <h2>Settings of the server</h2><p class="quiet">Only callers with the scope admin see them.</p>
  </section>`;
  return html`<${List} />`;
}

function List() {
  const { value: settings, error, reload } = useLoaded((signal) => client.server.settings({ signal }), []);
  const words = useSignal("");
  const isShort = useSignal(false);
  useShortcuts([{ keys: "/", label: "Search the settings", run: () => document.getElementById("settings-search")?.focus() }]);
  const found = settings?.filter((each) => (each.differs || !isShort.value) && matches(each, words.value)) ?? [];
  return html`<section class="card stack" aria-label="Settings of the server">
    <h2>Settings of the server</h2>
    <p class="quiet">As the process that answered has them. Other processes may have others. They are read at the start, from the environment and
      from the file <code>.env</code>. Secrets are not shown.</p>
    ${error !== null && html`<${Problem} error=${error} retry=${reload} />`}
    ${settings === undefined && error === null && html`<p class="quiet" role="status">Loading…</p>`}
    ${settings &&
    html`<div class="row">
        <input id="settings-search" type="search" placeholder="Search names, values and meanings" aria-label="Search the settings" value=${words.value}
          onInput=${(/** @type {InputEvent} */ { currentTarget }) => (words.value = /** @type {HTMLInputElement} */ (currentTarget).value)} />
        <label class="row"><input type="checkbox" checked=${isShort.value} onChange=${() => (isShort.value = !isShort.value)} /> Only those that differ from the default</label>
        <small role="status">${found.length === settings.length ? plural(settings.length, "setting") : `${whole(found.length)} of ${plural(settings.length, "setting")}`}</small>
      </div>
      ${found.length === 0
        ? html`<p class="quiet">${settings.some(({ differs }) => differs) || words.value ? "No setting matches." : "All settings have their defaults."}</p>`
        : html`<div class="scrolled" tabindex="0" role="group" aria-label="Table of settings"><table class="settings">
            <thead><tr><th>Setting</th><th>Value</th><th>From</th><th>Default</th></tr></thead>
            <tbody>${found.map((each) => html`<${Row} key=${each.name} ...${each} />`)}</tbody>
          </table></div>`}`}
  </section>`;
}

/** @param {Setting} setting @param {string} words */
function matches({ name, value, meaning }, words) {
  const text = `${name} ${textOf(value)} ${meaning}`.toLowerCase();
  return words.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** @param {Setting} props */
function Row({ name, value, source, default: otherwise, differs, masked, meaning }) {
  return html`<tr class=${differs ? "differs" : ""}>
    <td><code>${name}</code><br /><small>${meaning}</small></td>
    <td>
      <span class="cited">${shown(value)}</span>
      ${masked && html`<br /><small>a secret is not shown</small>`}
      ${differs && html`<br /><span class="badge" data-kind="asking">differs</span>`}
    </td>
    <td>${SOURCES[source] ?? source}</td>
    <td class="cited">${differs ? shown(otherwise) : html`<small>the same</small>`}</td>
  </tr>`;
}

/** @param {Setting["value"]} value */
function shown(value) {
  const text = textOf(value);
  return text === "" ? html`<small>none</small>` : html`<code>${text}</code>`;
}

/** Return a value as it would be written into `.env`. @param {Setting["value"]} value */
function textOf(value) {
  if (value === null || value === undefined) return "";
  if (Array.isArray(value)) return value.join(",");
  if (typeof value === "object") return Object.entries(value).map(([name, each]) => `${name}=${each}`).join(",");
  return String(value);
}
