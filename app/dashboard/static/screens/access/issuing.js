/** Dialogs that give out a key: a new one, or a new secret of an old one. The secret is shown once. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { client } from "../../client.js";
import { Copy } from "../../components/copy.js";
import { Dialog } from "../../components/dialog.js";
import { useDraft } from "../../drafts.js";
import { html } from "../../html.js";
import { wordsOf } from "../../notes.js";
import { isSecretShown, session } from "../../session.js";

/** @typedef {import("agentq-client/operators").Key} Key */
/** @typedef {import("agentq-client/operators").KeyIssued} KeyIssued */
/** @typedef {import("../../session.js").Scope} Scope */

/** @type {Record<Scope, string>} */
const SCOPES = {
  submit: "submit messages",
  read: "read messages, threads and streams",
  control: "cancel, answer, retry and change",
  admin: "manage keys and the queue of all tenants, read the audit log",
  metrics: "read the metrics",
};

const DAY_MS = 86_400_000;

/** @typedef {{ name: string, tenant: string, scopes: readonly string[], days: string }} Fields */

/** @type {Fields} */
const FIRST = { name: "", tenant: "default", scopes: ["submit", "read", "control"], days: "" };

/** The first key of a server: whoever makes it needs it to go on here. @type {Fields} */
const FIRST_OF_ALL = { ...FIRST, scopes: ["submit", "read", "control", "admin"] };

/**
 * Return what a form needs to send: the handler of its button, whether it is at work, and what went wrong.
 * @param {() => Promise<void>} send
 */
function useSending(send) {
  const problem = useSignal("");
  const isBusy = useSignal(false);
  /** @param {Event} event */
  const submitted = async (event) => {
    event.preventDefault();
    isBusy.value = true;
    problem.value = "";
    try {
      await send();
    } catch (error) {
      problem.value = wordsOf(error);
    } finally {
      isBusy.value = false;
    }
  };
  return { problem, isBusy, submitted };
}

/** @param {{ isFirst: boolean, onIssued: (key: KeyIssued) => void, onClose: () => void }} props */
export function NewKey({ isFirst, onIssued, onClose }) {
  const { draft, forget } = useDraft("new-key", isFirst ? FIRST_OF_ALL : FIRST);
  const mine = session.value.view?.scopes ?? [];
  const { problem, isBusy, submitted } = useSending(async () => {
    const { name, tenant, scopes, days } = draft.value;
    const expires_at = days === "" ? null : new Date(Date.now() + Number(days) * DAY_MS);
    const issued = await client.keys.create({ name: name.trim(), tenant: tenant.trim(), scopes: /** @type {Scope[]} */ ([...scopes]), expires_at });
    forget();
    onIssued(issued);
  });
  /** @param {Partial<Fields>} part */
  const change = (part) => (draft.value = { ...draft.value, ...part });
  const { name, tenant, scopes, days } = draft.value;
  /** @param {string} scope */
  const toggle = (scope) => change({ scopes: scopes.includes(scope) ? scopes.filter((each) => each !== scope) : [...scopes, scope] });
  return html`<${Dialog} title="Make a key" onClose=${onClose}>
    <form class="stack" onSubmit=${submitted}>
      ${isFirst && html`<p>This is the first key. From then on everybody needs one, and you sign in here with it.</p>`}
      <div class="field"><label for="key-name">Name</label>
        <input id="key-name" value=${name} autofocus autocomplete="off" placeholder="What it is for, such as web shop"
          onInput=${(/** @type {any} */ event) => change({ name: event.currentTarget.value })} /></div>
      <div class="field"><label for="key-tenant">Tenant</label>
        <input id="key-tenant" value=${tenant} required autocomplete="off" onInput=${(/** @type {any} */ event) => change({ tenant: event.currentTarget.value })} /></div>
      <fieldset class="stack scopes"><legend>It may</legend>
        ${Object.entries(SCOPES).map(
          ([scope, words]) => html`<label class="row" key=${scope}>
            <input type="checkbox" checked=${scopes.includes(scope)} disabled=${!mine.includes(/** @type {Scope} */ (scope))} onChange=${() => toggle(scope)} />
            <code>${scope}</code> <small>${words}${!mine.includes(/** @type {Scope} */ (scope)) && "; you do not have this scope"}</small>
          </label>`,
        )}
      </fieldset>
      <div class="field"><label for="key-days">Days until it expires</label>
        <input id="key-days" type="number" min="1" max="36500" step="1" value=${days} placeholder="never" onInput=${(/** @type {any} */ event) => change({ days: event.currentTarget.value })} /></div>
      <p role="alert" class="fault">${problem}</p>
      <div class="row"><button class="primary" disabled=${isBusy.value || scopes.length === 0}>Make the key</button><button type="button" onClick=${onClose}>Close</button></div>
    </form>
  </${Dialog}>`;
}

/** @param {{ apiKey: Key, onIssued: (key: KeyIssued) => void, onClose: () => void }} props */
export function RotateKey({ apiKey, onIssued, onClose }) {
  const hours = useSignal("24");
  const { problem, isBusy, submitted } = useSending(async () => {
    onIssued(await client.keys.rotate(apiKey.id, { grace_seconds: Math.round(Number(hours.value) * 3600) }));
  });
  return html`<${Dialog} title="Rotate ${apiKey.name || apiKey.id}" onClose=${onClose}>
    <form class="stack" onSubmit=${submitted}>
      <p>The key gets a new secret. The present secret stays good for a while, so that its callers can change over.</p>
      <div class="field"><label for="key-hours">Hours that the present secret stays good</label>
        <input id="key-hours" type="number" min="0" max="8760" step="any" required autofocus value=${hours.value}
          onInput=${(/** @type {any} */ event) => (hours.value = event.currentTarget.value)} /></div>
      <p role="alert" class="fault">${problem}</p>
      <div class="row"><button class="primary" disabled=${isBusy.value}>Rotate the key</button><button type="button" onClick=${onClose}>Keep as it is</button></div>
    </form>
  </${Dialog}>`;
}

/** @param {{ issued: KeyIssued, onClose: () => void }} props */
export function IssuedKey({ issued, onClose }) {
  useEffect(() => {
    isSecretShown.value = true;
    return () => void (isSecretShown.value = false);
  }, []);
  return html`<${Dialog} title="Store this key now">
    <p>The key <strong>${issued.name || issued.id}</strong> is shown this once. The server keeps only a hash of it.</p>
    <pre class="secret" tabindex="0" aria-label="The key">${issued.key}</pre>
    <div class="row">
      <${Copy} text=${() => issued.key} label="Copy the key" />
      <button class="primary" onClick=${onClose}>I have stored it</button>
    </div>
  </${Dialog}>`;
}
