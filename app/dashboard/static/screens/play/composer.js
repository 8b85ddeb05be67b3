/** Where a message is written: a text with images, or the form of an agent that takes no text. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { readForm, readJson, SchemaForm, isFormSchema } from "../../components/schema-form.js";
import { useDraft } from "../../drafts.js";
import { html } from "../../html.js";
import { useShortcuts } from "../../keyboard.js";
import { newId } from "../../new-id.js";
import { wordsOf } from "../../notes.js";
import { may } from "../../session.js";
import { imageOf } from "./images.js";
import { bodyOf, NOTHING } from "./sending.js";

/** @typedef {import("./sending.js").Draft} Draft */
/** @typedef {import("agentq-client").Agent} Agent */

/**
 * @typedef {object} ComposerProps
 * @property {string} name  of the draft
 * @property {Agent | null} agent
 * @property {boolean} isRunning
 * @property {boolean} takesFocus  when it is first shown, as after the first message of a conversation
 * @property {() => void} onStop
 * @property {(body: ReturnType<typeof bodyOf>, draft: Draft) => Promise<void>} onSend  throws if something was not stored; what was typed then stays
 * @property {(write: (part: Partial<Draft>) => void) => void} connect  is given a function that changes what is typed
 */

/** @param {ComposerProps} props */
export function Composer(props) {
  const { name, agent, isRunning, takesFocus, onStop, connect } = props;
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  const { draft, change, send, attach, isBusy, problem, faults } = useSending(props);
  connect((part) => {
    change(part);
    field.current?.focus();
  });
  useEffect(() => {
    if (takesFocus) field.current?.focus();
  }, []);
  /** @param {KeyboardEvent} event */
  const pressed = (event) => {
    if (event.isComposing) return;
    if (event.key === "Escape") onStop();
    if (event.key !== "Enter" || event.shiftKey) return;
    event.preventDefault();
    void send();
  };
  /** @param {Event} event */
  const submitted = (event) => {
    event.preventDefault();
    void send();
  };
  useShortcuts([{ keys: "/", label: "Write a message", run: () => field.current?.focus() }]);

  const { edits, images, text } = draft.value;
  const why = may("submit") ? "" : "To send messages needs the scope submit, which you do not have.";
  return html`<form class="composer card stack" onSubmit=${submitted} aria-label="New message" ...${filesOf(attach)}>
    ${edits && html`<p class="row"><small>You edit an earlier message. Sending it replaces that message and all that followed.</small>
      <button type="button" class="plain" onClick=${() => change({ edits: null })}>Send as a new message instead</button></p>`}
    ${isForm(agent)
      ? html`<${Input} agent=${agent} draft=${draft.value} change=${change} faults=${faults.value} name=${name} />`
      : html`<textarea ref=${field} rows="2" class="grows" aria-label="Message" readonly=${isBusy.value} placeholder="Write a message. Enter sends it, Shift and Enter begins a new line."
          value=${text} onInput=${(/** @type {any} */ event) => change({ text: event.currentTarget.value })} onKeyDown=${pressed}></textarea>`}
    ${images.length > 0 && html`<${Attached} images=${images} onChange=${(/** @type {any} */ others) => change({ images: others })} />`}
    <p role="alert" class="fault" hidden=${problem.value === ""}>${problem}</p>
    <div class="row">
      <button class="primary" disabled=${isBusy.value || why !== ""} title=${why}>${isRunning ? "Send next" : "Send"}</button>
      ${isRunning && html`<button type="button" disabled=${!may("control")} title=${may("control") ? "Escape" : "Needs the scope control"} onClick=${onStop}>Stop</button>`}
      ${!isForm(agent) && html`<label class="button">Attach an image<input type="file" class="only-read" accept="image/png,image/jpeg,image/gif,image/webp" multiple
          onChange=${(/** @type {any} */ { currentTarget: input }) => void attach([...input.files]).then(() => (input.value = ""))} /></label>`}
      <${Options} draft=${draft.value} change=${change} isRunning=${isRunning} />
      <small>${why}</small>
    </div>
  </form>`;
}

/** Return whether an agent takes a form in place of a text. @param {Agent | null} agent @returns {agent is Agent} */
function isForm(agent) {
  return agent !== null && agent.takes_text === false;
}

/** Keeps what is typed and sends it. @param {ComposerProps} props */
function useSending({ name, agent, onSend }) {
  const { draft, forget } = useDraft(name, NOTHING);
  const isBusy = useSignal(false);
  const problem = useSignal("");
  const faults = useSignal(/** @type {Readonly<Record<string, string>>} */ ({}));
  /** @param {Partial<Draft>} part */
  const change = (part) => (draft.value = { ...draft.value, key: null, ...part });

  const send = async () => {
    if (isBusy.value || !may("submit")) return;
    const input = isForm(agent) ? inputOf(agent, draft.value, faults) : null;
    if (isForm(agent) ? input === null : !isSendable(draft.value)) return;
    isBusy.value = true;
    problem.value = "";
    try {
      const body = bodyOf(draft.value, input);
      draft.value = { ...draft.value, key: draft.value.key ?? newId() };
      const { priority, metadata, ifBusy } = draft.value;
      await onSend(body, draft.value);
      forget();
      draft.value = { ...NOTHING, priority, metadata, ifBusy };
    } catch (error) {
      problem.value = wordsOf(error);
    } finally {
      isBusy.value = false;
    }
  };
  /** @param {readonly File[]} files */
  const attach = async (files) => {
    try {
      for (const file of files) change({ images: [...draft.value.images, await imageOf(file, draft.value.images)] });
      problem.value = "";
    } catch (error) {
      problem.value = /** @type {Error} */ (error).message;
    }
  };
  return { draft, change, send, attach, isBusy, problem, faults };
}

/** @param {Draft} draft */
function isSendable({ text, images }) {
  return text.trim() !== "" || images.length > 0;
}

/** Return handlers that take files which are dropped or pasted. @param {(files: readonly File[]) => void} attach */
function filesOf(attach) {
  /** @param {Event} event @param {DataTransfer | null} data */
  const take = (event, data) => {
    const files = [...(data?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    attach(files);
  };
  return {
    onPaste: (/** @type {ClipboardEvent} */ event) => take(event, event.clipboardData),
    onDrop: (/** @type {DragEvent} */ event) => take(event, event.dataTransfer),
    onDragOver: (/** @type {DragEvent} */ event) => event.preventDefault(),
  };
}

/**
 * Return the input that the form has; null if it has faults, which are then shown.
 * @type {(agent: Agent, draft: Draft, faults: { value: Readonly<Record<string, string>> }) => Record<string, unknown> | null}
 */
function inputOf({ input_schema: schema }, draft, faults) {
  if (schema === null || !isFormSchema(schema)) {
    try {
      faults.value = {};
      return readJson(draft.text);
    } catch (error) {
      faults.value = { "": /** @type {Error} */ (error).message };
      return null;
    }
  }
  const read = readForm(schema, draft.fields);
  faults.value = read.faults;
  return Object.keys(read.faults).length === 0 ? read.value : null;
}

/** @param {{ agent: Agent, draft: Draft, change: (part: Partial<Draft>) => void, faults: Readonly<Record<string, string>>, name: string }} props */
function Input({ agent, draft, change, faults, name }) {
  const { input_schema: schema } = agent;
  if (schema !== null && isFormSchema(schema)) {
    return html`<${SchemaForm} schema=${schema} typed=${draft.fields} faults=${faults} name=${name} onChange=${(/** @type {any} */ fields) => change({ fields })} />`;
  }
  return html`<div class="field"><label for="${name}:json">Input as JSON</label>
    <textarea id="${name}:json" rows="4" spellcheck=${false} value=${draft.text} onInput=${(/** @type {any} */ event) => change({ text: event.currentTarget.value })}></textarea>
    <small class="fault" role="alert">${faults[""]}</small></div>`;
}

/** @param {{ images: Draft["images"], onChange: (images: Draft["images"]) => void }} props */
function Attached({ images, onChange }) {
  return html`<ul class="row">${images.map(
    (image, at) => html`<li class="attached"><img src="data:${image.mime};base64,${image.base64}" alt=${image.name} />
      <button type="button" class="plain" aria-label="Remove ${image.name}" onClick=${() => onChange(images.filter((_, each) => each !== at))}>✕</button></li>`,
  )}</ul>`;
}

/** @param {{ draft: Draft, change: (part: Partial<Draft>) => void, isRunning: boolean }} props */
function Options({ draft, change, isRunning }) {
  return html`<details class="options"><summary>Options</summary><div class="row">
    <label class="row"><small>Priority</small><select value=${draft.priority} onChange=${(/** @type {any} */ event) => change({ priority: event.currentTarget.value })}>
      <option>high</option><option>normal</option><option>low</option></select></label>
    <label class="row"><small>While another one runs</small><select value=${draft.ifBusy} onChange=${(/** @type {any} */ event) => change({ ifBusy: event.currentTarget.value })}>
      <option value="enqueue">wait behind it</option><option value="interrupt">stop it${isRunning ? " now" : ""}</option></select></label>
    <label class="row"><small>Metadata</small><textarea rows="1" class="grows" placeholder="name=value, one a line" value=${draft.metadata}
      onInput=${(/** @type {any} */ event) => change({ metadata: event.currentTarget.value })}></textarea></label>
  </div></details>`;
}
