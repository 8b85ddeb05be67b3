/** The API keys, with what can be done with each. */

import { useSignal } from "@preact/signals";

import { client } from "../../client.js";
import { Confirmation } from "../../components/dialog.js";
import { Empty } from "../../components/empty.js";
import { Moment, now } from "../../components/moment.js";
import { Problem } from "../../components/problem.js";
import { UNKNOWN } from "../../format.js";
import { html } from "../../html.js";
import { useShortcuts } from "../../keyboard.js";
import { attempt } from "../../notes.js";
import { usePages } from "../../paging.js";
import { IssuedKey, NewKey, RotateKey } from "./issuing.js";

/** @typedef {import("agentq-client/operators").Key} Key */
/** @typedef {{ kind: "rotate" | "revoke", key: Key }} Asked */

const PAGE = 100;

export function Keys() {
  const list = usePages((signal) => client.keys.list({ limit: PAGE }, { signal }), []);
  const isMaking = useSignal(false);
  const asked = useSignal(/** @type {Asked | null} */ (null));
  const issued = useSignal(/** @type {import("agentq-client/operators").KeyIssued | null} */ (null));
  useShortcuts([{ keys: "n", label: "Make a key", run: () => (isMaking.value = true) }]);

  const close = () => {
    isMaking.value = false;
    asked.value = null;
  };
  /** @param {import("agentq-client/operators").KeyIssued} key */
  const onIssued = (key) => {
    close();
    issued.value = key;
    void list.reload();
  };
  /** @param {Key} key */
  const revoke = (key) =>
    attempt(async () => {
      await client.keys.revoke(key.id);
      await list.reload();
      return `The key ${key.name || key.id} is revoked. Its callers are refused within seconds.`;
    });
  return html`
    <div class="row"><button class="primary" onClick=${() => (isMaking.value = true)}>Make a key</button></div>
    ${list.error !== null && html`<${Problem} error=${list.error} retry=${list.reload} />`}
    ${list.rows.length > 0
      ? html`<${KeyTable} rows=${list.rows} onAsk=${(/** @type {Asked} */ ask) => (asked.value = ask)} />`
      : list.isLoading
        ? html`<p class="quiet" role="status">Loading…</p>`
        : list.error === null &&
          html`<${Empty} title="No keys yet" command="agentq keys create --name operator --scope read --scope control --scope admin">
            Without keys, only programs on the server's own host are served. Make the first key here or in a terminal. From then on
            everybody needs one, this page too.
          </${Empty}>`}
    ${!list.isComplete && list.rows.length >= PAGE && html`<div class="row"><button onClick=${list.more} disabled=${list.isLoading}>Show more</button></div>`}
    ${isMaking.value && html`<${NewKey} isFirst=${!list.isLoading && list.error === null && list.rows.length === 0} onIssued=${onIssued} onClose=${close} />`}
    ${asked.value?.kind === "rotate" && html`<${RotateKey} apiKey=${asked.value.key} onIssued=${onIssued} onClose=${close} />`}
    ${asked.value?.kind === "revoke" && html`<${Revocation} apiKey=${asked.value.key} onConfirm=${revoke} onClose=${close} />`}
    ${issued.value && html`<${IssuedKey} issued=${issued.value} onClose=${() => (issued.value = null)} />`}
  `;
}

/** @param {{ apiKey: Key, onConfirm: (key: Key) => void, onClose: () => void }} props */
function Revocation({ apiKey, onConfirm, onClose }) {
  return html`<${Confirmation} title="Revoke ${apiKey.name || apiKey.id}?" word="Revoke the key" onConfirm=${() => onConfirm(apiKey)} onClose=${onClose}>
    Every caller with this key is refused within seconds, and their streams end. This cannot be undone. To replace the key without a
    gap, rotate it instead.
  </${Confirmation}>`;
}

/** @param {{ rows: readonly Key[], onAsk: (asked: Asked) => void }} props */
function KeyTable({ rows, onAsk }) {
  return html`<div class="wide" tabindex="0" role="region" aria-label="API keys"><table>
    <thead><tr><th>Name</th><th>State</th><th>Tenant</th><th>Scopes</th><th>Made</th><th>Last used</th><th>Expires</th><th><span class="only-read">Actions</span></th></tr></thead>
    <tbody>
      ${rows.map((key) => {
        const state = stateOf(key);
        const name = key.name || key.id;
        return html`<tr key=${key.id}>
          <td class="name"><strong>${name}</strong><br /><small><code>aq_${key.id}…</code></small></td>
          <td><${KeyState} ...${state} /></td>
          <td>${key.tenant}</td>
          <td>${key.scopes.join(", ")}</td>
          <td><${Moment} at=${key.created_at} /></td>
          <td>${key.last_used_at === null ? "never" : html`<${Moment} at=${key.last_used_at} />`}</td>
          <td>${key.expires_at === null ? "never" : html`<${Moment} at=${key.expires_at} />`}</td>
          <td><div class="row actions">
            ${state.kind === "good"
              ? html`<button aria-label="Rotate ${name}" onClick=${() => onAsk({ kind: "rotate", key })}>Rotate</button>
                  <button class="danger" aria-label="Revoke ${name}" onClick=${() => onAsk({ kind: "revoke", key })}>Revoke</button>`
              : UNKNOWN}
          </div></td>
        </tr>`;
      })}
    </tbody>
  </table></div>`;
}

/** @param {Key} key */
function stateOf({ revoked_at: revoked, expires_at: expires }) {
  if (revoked !== null) return { kind: "quiet", word: "revoked", shape: "M3 8h10" };
  if (expires !== null && Date.parse(expires) <= now.value) return { kind: "warning", word: "expired", shape: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 2v4l3 2" };
  return { kind: "good", word: "in use", shape: "M2 8l4 4 8-9" };
}

/** @param {{ kind: string, word: string, shape: string }} props */
function KeyState({ kind, word, shape }) {
  return html`<span class="badge" data-kind=${kind}>
    <svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="2" aria-hidden="true"><path d=${shape} /></svg>${word}
  </span>`;
}
