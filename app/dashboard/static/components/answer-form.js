/** A form that answers the questions of an interrupted message, made from the questions. */

import { useSignal } from "@preact/signals";

import { client } from "../client.js";
import { useDraft } from "../drafts.js";
import { html } from "../html.js";
import { wordsOf } from "../notes.js";
import { may } from "../session.js";
import { readQuestion } from "./questions.js";
import { readForm, readJson, SchemaForm } from "./schema-form.js";

/** @typedef {import("./questions.js").Asked} Asked */

/**
 * The text typed for one question. `kind` and `args` are the decisions about tool calls, by their places.
 * @typedef {object} Typed
 * @property {string} text
 * @property {boolean} isJson  whether `text` is JSON in place of the form
 * @property {import("./schema-form.js").Typed} fields
 * @property {Readonly<Record<string, string>>} kind
 * @property {Readonly<Record<string, string>>} args
 */

/** @type {Typed} */
const NOTHING = { text: "", isJson: false, fields: {}, kind: {}, args: {} };

/**
 * @param {{ messageId: string, questions: readonly import("agentq-client").Question[], onAnswered?: () => void, label?: string }} props
 *   `label` tells the form from others of the page
 */
export function AnswerForm({ messageId, questions, onAnswered, label = "Answer the agent" }) {
  const asked = questions.map(readQuestion);
  const key = `answer:${messageId}:${asked.map(({ id }) => id).join(",")}`;
  return html`<${Form} key=${key} ...${{ name: key, messageId, asked, onAnswered, label }} />`;
}

/** @param {{ name: string, messageId: string, asked: readonly Asked[], onAnswered?: () => void, label: string }} props */
function Form({ name, messageId, asked, onAnswered, label }) {
  const { draft, forget } = useDraft(name, /** @type {Readonly<Record<string, Typed>>} */ (EMPTY));
  const problem = useSignal("");
  const faults = useSignal(/** @type {Readonly<Record<string, string>>} */ ({}));
  const isBusy = useSignal(false);
  const mayAnswer = may("control");

  /** @param {unknown[]} values */
  const send = async (values) => {
    isBusy.value = true;
    problem.value = "";
    try {
      const [value] = values;
      const byId = () => Object.fromEntries(asked.map(({ id }, at) => [id, values[at]]));
      await client.resume(messageId, asked.length === 1 ? { value } : { values: byId() });
      forget();
      onAnswered?.();
    } catch (error) {
      problem.value = wordsOf(error);
    } finally {
      isBusy.value = false;
    }
  };
  /** @param {Event} event */
  const submitted = (event) => {
    event.preventDefault();
    try {
      /** @type {Record<string, string>} */
      const found = {};
      const values = asked.map((each) => answerOf(each, draft.value[each.id] ?? NOTHING, found));
      faults.value = found;
      if (Object.keys(found).length === 0) void send(values);
    } catch (error) {
      problem.value = /** @type {Error} */ (error).message;
    }
  };
  const [only] = asked;
  const isButtons = asked.length === 1 && only && only.choices.length > 0 && !draft.value[only.id]?.isJson;
  return html`<form class="answer stack" onSubmit=${submitted} aria-label=${label}>
    ${asked.map((each) => {
      const typed = draft.value[each.id] ?? NOTHING;
      const change = (/** @type {Partial<Typed>} */ part) => (draft.value = { ...draft.value, [each.id]: { ...typed, ...part } });
      return html`<${Fields} key=${each.id} ...${{ asked: each, typed, change, faults: faults.value, isOnly: asked.length === 1 }} name="${name}:${each.id}"
        choose=${(/** @type {unknown} */ value) => void send([value])} isOff=${!mayAnswer || isBusy.value} />`;
    })}
    <p role="alert" class="fault">${problem}</p>
    ${!mayAnswer && html`<p class="quiet">To answer needs the scope control, which you do not have.</p>`}
    ${!isButtons && html`<div class="row"><button class="primary" disabled=${!mayAnswer || isBusy.value}>Send the answer</button></div>`}
  </form>`;
}

/** @type {Readonly<Record<string, Typed>>} */
const EMPTY = {};

/**
 * @param {{ asked: Asked, typed: Typed, change: (part: Partial<Typed>) => void, faults: Readonly<Record<string, string>>,
 *   isOnly: boolean, name: string, choose: (value: unknown) => void, isOff: boolean }} props
 */
function Fields({ asked, typed, change, faults, isOnly, name, choose, isOff }) {
  const { text, choices, schema, calls } = asked;
  const isPlain = choices.length === 0 && schema === null && calls.length === 0;
  const typedText = (/** @type {any} */ event) => change({ text: event.currentTarget.value });
  const area = (/** @type {string} */ label) => html`<div class="field">
    <label for="${name}:text">${label}</label>
    <textarea id="${name}:text" rows="3" value=${typed.text} onInput=${typedText}></textarea>
  </div>`;
  return html`<fieldset class="stack">
    <legend class="question">${text}</legend>
    ${typed.isJson
      ? area("Answer as JSON")
      : isPlain
        ? area("Answer")
        : calls.length > 0
          ? calls.map((call, at) => html`<${Decision} key=${at} ...${{ call, at, typed, change, name }} />`)
          : schema !== null
            ? html`<${SchemaForm} schema=${schema} typed=${typed.fields} faults=${faults} name=${name}
                onChange=${(/** @type {any} */ fields) => change({ fields })} />`
            : html`<${Choices} ...${{ choices, typed, change, isOnly, name, choose, isOff }} />`}
    <label class="row"><input type="checkbox" checked=${typed.isJson} onChange=${(/** @type {any} */ event) => change({ isJson: event.currentTarget.checked })} />
      <small>Answer with JSON instead</small></label>
  </fieldset>`;
}

/**
 * @param {{ choices: Asked["choices"], typed: Typed, change: (part: Partial<Typed>) => void, isOnly: boolean, name: string,
 *   choose: (value: unknown) => void, isOff: boolean }} props
 */
function Choices({ choices, typed, change, isOnly, name, choose, isOff }) {
  if (isOnly) {
    return html`<div class="row">
      ${choices.map((each) => html`<button type="button" disabled=${isOff} onClick=${() => choose(each.value)}>${each.name}</button>`)}
    </div>`;
  }
  return html`<div class="row">
    ${choices.map(
      (each, at) => html`<label class="row">
        <input type="radio" name=${name} checked=${typed.text === String(at)} onChange=${() => change({ text: String(at) })} />${each.name}
      </label>`,
    )}
  </div>`;
}

/** @type {Record<string, string>} */
const DECISIONS = { approve: "Approve", edit: "Approve with other arguments", reject: "Reject", respond: "Answer in its place" };

/**
 * @param {{ call: import("./questions.js").Call, at: number, typed: Typed, change: (part: Partial<Typed>) => void, name: string }} props
 */
function Decision({ call, at, typed, change, name }) {
  const kind = typed.kind[at] ?? call.allowed[0] ?? "approve";
  const given = JSON.stringify(call.args, null, 2);
  const args = (/** @type {any} */ event) => change({ args: { ...typed.args, [at]: event.currentTarget.value } });
  const id = `${name}:${at}`;
  return html`<fieldset class="card stack">
    <legend><code>${call.name}</code></legend>
    ${call.description && html`<p>${call.description}</p>`}
    <pre tabindex="0">${given}</pre>
    <div class="row">
      ${call.allowed.map(
        (each) => html`<label class="row">
          <input type="radio" name=${id} checked=${each === kind} onChange=${() => change({ kind: { ...typed.kind, [at]: each } })} />${DECISIONS[each] ?? each}
        </label>`,
      )}
    </div>
    ${kind !== "approve" &&
    html`<div class="field"><label for="${id}:args">${kind === "edit" ? "Arguments as JSON" : kind === "reject" ? "Reason" : "Answer"}</label>
      <textarea id="${id}:args" rows=${kind === "edit" ? 5 : 2} value=${typed.args[at] ?? (kind === "edit" ? given : "")} onInput=${args}></textarea>
    </div>`}
  </fieldset>`;
}

/**
 * Return the answer to a question, and add what is wrong to `faults`. Throws an Error that says what to do.
 * @type {(asked: Asked, typed: Typed, faults: Record<string, string>) => unknown}
 */
function answerOf({ choices, schema, calls }, typed, faults) {
  if (typed.isJson) return readJson(typed.text);
  if (calls.length > 0) return { decisions: calls.map((call, at) => decisionOf(call, typed.kind[at], typed.args[at])) };
  if (schema !== null) {
    const read = readForm(schema, typed.fields);
    Object.assign(faults, read.faults);
    return read.value;
  }
  if (choices.length > 0) {
    const choice = typed.text === "" ? undefined : choices[Number(typed.text)];
    if (!choice) throw new Error("Choose an answer for each question.");
    return choice.value;
  }
  if (typed.text.trim() === "") throw new Error("Type an answer.");
  return typed.text;
}

/** @type {(call: import("./questions.js").Call, kind: string | undefined, typed: string | undefined) => unknown} */
function decisionOf({ name, args, allowed }, kind = allowed[0] ?? "approve", typed = "") {
  if (kind === "edit") return { type: kind, edited_action: { name, args: typed === "" ? args : readJson(typed) } };
  return kind === "approve" || typed === "" ? { type: kind } : { type: kind, message: typed };
}
