/**
 * Hides what people and agents wrote until it is asked for, if the server says so (HIDE_PAYLOADS). What was asked for stays shown
 * until the page is loaded again or another caller signs in.
 */

import { computed, effect, signal } from "@preact/signals";

import { html } from "./html.js";
import { session } from "./session.js";

/** @typedef {"message" | "thread"} Kind */

/** Whether texts are hidden at first. */
export const isHiding = computed(() => session.value.view?.hide_payloads === true);

/** Texts that were asked for, by kind and id. */
const asked = signal(/** @type {ReadonlySet<string>} */ (new Set()));

const caller = computed(() => session.value.view?.actor);
effect(() => {
  void caller.value;
  asked.value = new Set();
});

/** Return whether the texts of a message or thread are hidden. @param {Kind} kind @param {string} id */
export function isHidden(kind, id) {
  return isHiding.value && !asked.value.has(`${kind} ${id}`);
}

/** Show the texts of messages or threads. @param {Kind} kind @param {readonly string[]} ids */
export function show(kind, ids) {
  asked.value = new Set([...asked.peek(), ...ids.map((id) => `${kind} ${id}`)]);
}

/** Return what a list shows for a text: the id while texts are hidden. @param {string} text @param {string} id */
export function listed(text, id) {
  return isHiding.value || text === "" ? id : text;
}

/**
 * Stands for hidden texts, with the button that shows them.
 * @param {{ kind: Kind, ids: readonly string[], what: string }} props  `what` names the texts
 */
export function Hidden({ kind, ids, what }) {
  return html`<p class="row hidden-texts"><span class="quiet">Hidden: ${what}.</span> <button onClick=${() => show(kind, ids)}>Show</button></p>`;
}
