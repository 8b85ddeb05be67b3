/** The filters above the list of messages: tabs for states, and any other as `name:value` with suggestions. */

import { useSignal } from "@preact/signals";

import { useReloads } from "../../attention.js";
import { client } from "../../client.js";
import { short } from "../../format.js";
import { html } from "../../html.js";
import { useLoaded } from "../../loading.js";
import { go, linkTo } from "../../router.js";
import { NAMES, PRIORITIES, STATES, filterIn } from "./query.js";

/** @param {{ query: URLSearchParams }} props */
export function Filters({ query }) {
  const stats = useLoaded((signal) => client.statistics.get({}, { signal }), []);
  const agents = useLoaded((signal) => client.agents.list({ signal }), []);
  const problem = useSignal("");
  useReloads(() => void stats.reload());

  /** @param {SubmitEvent & { currentTarget: HTMLFormElement }} event */
  const added = (event) => {
    event.preventDefault();
    const field = /** @type {HTMLInputElement} */ (event.currentTarget.elements.namedItem("filter"));
    const filter = filterIn(field.value);
    problem.value = filter ? "" : `There is no such filter. Names are ${NAMES.join(", ")} and metadata.KEY. Put a text in quotes to search for it.`;
    if (!filter) return;
    field.value = "";
    const next = new URLSearchParams(query);
    next.set(filter.name, filter.value);
    go(["messages"], pairsOf(next));
  };

  const others = [...query].filter(([name]) => name !== "state");
  const isAll = others.length === 0; // the figures are those of all messages
  return html`<div class="stack">
    <nav class="tabs" aria-label="States"><ul>
      <${Tab} query=${query} state=${null} word="All" />
      ${STATES.map((state) => html`<${Tab} query=${query} state=${state} word=${state} count=${isAll ? stats.value?.messages[state] : undefined} />`)}
    </ul></nav>
    <form class="row" onSubmit=${added}>
      ${others.map(
        ([name, value]) => html`<a class="button" href=${linkTo(["messages"], without(query, name))} title="Remove this filter">
          ${name}:${value} <span aria-hidden="true">✕</span><span class="only-read">, remove</span>
        </a>`,
      )}
      <input id="filter" name="filter" list="filters" aria-label="Filter" placeholder="Search, or filter such as agent:chat" autocomplete="off"
        aria-describedby="filter-problem" />
      <datalist id="filters">
        ${suggestions(agents.value?.map(({ name }) => name) ?? []).map((each) => html`<option value=${each} />`)}
      </datalist>
      <small id="filter-problem" role="alert">${problem}</small>
    </form>
  </div>`;
}

/** @param {{ query: URLSearchParams, state: string | null, word: string, count?: number }} props */
function Tab({ query, state, word, count }) {
  const isCurrent = query.get("state") === state;
  const address = linkTo(["messages"], { ...without(query, "state"), state });
  return html`<li><a href=${address} aria-current=${isCurrent ? "true" : null}>${word}${count === undefined ? "" : ` ${short(count)}`}</a></li>`;
}

/** @param {readonly string[]} agents */
function suggestions(agents) {
  return [
    ...agents.map((name) => `agent:${name}`),
    ...PRIORITIES.map((name) => `priority:${name}`),
    "thread_id:",
    "error_code:",
    "fingerprint:",
    "metadata.",
  ];
}

/** @param {URLSearchParams} query @returns {Record<string, string[]>} */
function pairsOf(query) {
  return Object.fromEntries([...query.keys()].map((name) => [name, query.getAll(name)]));
}

/** @type {(query: URLSearchParams, name: string) => Record<string, string[]>} */
function without(query, name) {
  const { [name]: _, ...others } = pairsOf(query);
  return others;
}
