/** Views: filters that the browser keeps under a name. */

import { signal, useSignal } from "@preact/signals";

import { Dialog } from "../../components/dialog.js";
import { html } from "../../html.js";

const KEY = "agentq-views";

/** @typedef {{ name: string, query: string }} View */

const views = signal(kept());

/** @returns {View[]} */
function kept() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((each) => typeof each?.name === "string" && typeof each.query === "string") : [];
  } catch {
    return []; // a browser may forbid storage
  }
}

/** @param {View[]} changed */
function keep(changed) {
  views.value = changed;
  try {
    localStorage.setItem(KEY, JSON.stringify(changed));
  } catch {
    // The views hold for this page.
  }
}

/** @param {{ query: URLSearchParams }} props */
export function Views({ query }) {
  const isNaming = useSignal(false);
  const present = query.toString();
  const isKept = views.value.some((each) => each.query === present);
  if (views.value.length === 0 && present === "") return null;
  /** @param {SubmitEvent & { currentTarget: HTMLFormElement }} event */
  const named = (event) => {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget).get("name")).trim();
    if (!name) return;
    keep([...views.value.filter((each) => each.name !== name), { name, query: present }]);
    isNaming.value = false;
  };
  return html`<div class="row" role="group" aria-label="Saved views">
    ${views.value.map(
      ({ name, query: saved }) => html`<span class="row view" key=${name}>
        <a class="button" href="#/messages?${saved}" aria-current=${saved === present ? "true" : null}>${name}</a>
        <button class="plain" aria-label="Forget the view ${name}" onClick=${() => keep(views.value.filter((each) => each.name !== name))}>✕</button>
      </span>`,
    )}
    ${present !== "" && !isKept && html`<button class="plain" onClick=${() => (isNaming.value = true)}>Save this view</button>`}
    ${isNaming.value &&
    html`<${Dialog} title="Save this view" onClose=${() => (isNaming.value = false)}>
      <form class="stack" onSubmit=${named}>
        <div class="field"><label for="view-name">Name</label><input id="view-name" name="name" required maxlength="80" autofocus autocomplete="off" /></div>
        <div class="row"><button class="primary">Save</button><button type="button" onClick=${() => (isNaming.value = false)}>Close</button></div>
      </form>
      <p class="quiet">The view is kept in this browser.</p>
    </${Dialog}>`}
  </div>`;
}
