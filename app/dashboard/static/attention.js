/** How many messages need a person: questions of agents, and failures. */

import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { client } from "./client.js";
import { plural, short } from "./format.js";
import { html } from "./html.js";
import { isHeld, useChanges } from "./live.js";
import { useLoaded } from "./loading.js";
import { may } from "./session.js";

const RELOAD_MS = 2_000;

/** @typedef {import("agentq-client").Message["state"]} State */

/** States in which a message needs a person. @type {readonly State[]} */
const NEEDY = ["interrupted", "failed"];

/**
 * Call `reload` some time after a change of a message, once for many changes. While updates are held, it waits for their end.
 * @param {() => void} reload
 * @param {readonly State[]} [states]  only after changes into or out of these states, and when messages are deleted
 */
export function useReloads(reload, states) {
  /** @param {import("./live.js").Change} change */
  const concerns = (change) => {
    if (change.type === "reset") return false;
    if (!change.message_id) return change.type === "thread.deleted";
    return !states || [change.state_before, change.state].some((state) => state && states.includes(state));
  };

  const timer = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  const isDue = useSignal(false);
  useEffect(() => () => clearTimeout(timer.current), []);
  useSignalEffect(() => {
    if (!isDue.value || isHeld.value) return;
    isDue.value = false;
    reload();
  });
  useChanges(({ changes, isReset }) => {
    if (timer.current || !(isReset || changes.some(concerns))) return;
    timer.current = setTimeout(() => {
      timer.current = undefined;
      isDue.value = true;
    }, RELOAD_MS);
  });
}

/** The number beside the screen's name, while there is one. */
export function AttentionCount() {
  const { value, isStale, reload } = useLoaded(async (signal) => (may("read") ? count(signal) : 0), []);
  useReloads(() => void reload(), NEEDY);
  if (!value) return null;
  return html`<span class="count ${isStale ? "stale" : ""}"><span aria-hidden="true">${short(value)}</span><span class="only-read">, ${plural(value, "message")}</span></span>`;
}

/** @param {AbortSignal} signal */
async function count(signal) {
  const { messages } = await client.statistics.get({}, { signal });
  return (messages.interrupted ?? 0) + (messages.failed ?? 0);
}
