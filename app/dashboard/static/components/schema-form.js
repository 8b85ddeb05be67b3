/** A form made from a JSON Schema: a field for each property, and JSON for what has no field of its own. */

import { html } from "../html.js";

/** @typedef {Record<string, any>} Schema */

/**
 * The texts that were typed, by the path of each field. Numbers and JSON are texts until they are read.
 * @typedef {Readonly<Record<string, string | boolean>>} Typed
 */

const DEEPEST = 4;

/** Return the schema that a `$ref` within the document or an `anyOf` with null stands for. @type {(schema: Schema, root: Schema) => Schema} */
function resolved(schema, root) {
  for (let step = 0; step < 10; step++) {
    const { $ref: ref, anyOf: options } = schema;
    if (typeof ref === "string" && ref.startsWith("#/")) {
      /** @type {any} */
      let found = root;
      for (const part of ref.slice(2).split("/")) found = Object(found)[part];
      schema = { ...Object(found), ...schema, $ref: undefined };
    } else if (Array.isArray(options)) {
      const others = options.filter((each) => each?.type !== "null");
      if (others.length !== 1) return schema;
      schema = { ...others[0], ...schema, anyOf: undefined };
    } else {
      return schema;
    }
  }
  return schema;
}

/** Return whether a form can be made from the schema. @param {unknown} schema */
export function isFormSchema(schema) {
  const { type, properties } = Object(schema);
  return type === "object" && typeof properties === "object" && properties !== null && Object.keys(properties).length > 0;
}

/** @typedef {"text" | "number" | "flag" | "choice" | "object" | "json"} Kind */

/** @type {(schema: Schema, depth: number) => Kind} */
function kindOf(schema, depth) {
  if (Array.isArray(schema.enum)) return "choice";
  if (schema.type === "boolean") return "flag";
  if (schema.type === "integer" || schema.type === "number") return "number";
  if (schema.type === "string") return "text";
  return isFormSchema(schema) && depth < DEEPEST ? "object" : "json";
}

/**
 * The fields. Those with an error of `read` name it.
 * @param {{ schema: Schema, typed: Typed, onChange: (typed: Typed) => void, faults?: Readonly<Record<string, string>>,
 *   name: string }} props  `name` begins the ids of the elements
 */
export function SchemaForm({ schema, typed, onChange, faults = {}, name }) {
  return html`<div class="fields">${fieldsOf(schema, schema, "", 0)}</div>`;

  /** @type {(of: Schema, root: Schema, path: string, depth: number) => unknown} */
  function fieldsOf(of, root, path, depth) {
    const needed = Array.isArray(of.required) ? of.required : [];
    return Object.entries(of.properties).map(([key, given]) => {
      const each = resolved(Object(given), root);
      const at = `${path}/${key}`;
      if (kindOf(each, depth) === "object") {
        return html`<fieldset key=${at} class="card"><legend>${each.title ?? key}</legend>${fieldsOf(each, root, at, depth + 1)}</fieldset>`;
      }
      const props = { id: `${name}${at}`, label: each.title ?? key, schema: each, value: typed[at] ?? firstOf(each), fault: faults[at] };
      const change = (/** @type {string | boolean} */ value) => onChange({ ...typed, [at]: value });
      return html`<${Field} key=${at} ...${props} isNeeded=${needed.includes(key)} onChange=${change} />`;
    });
  }
}

/** @param {Schema} schema @returns {string | boolean} */
function firstOf(schema) {
  const { default: given } = schema;
  if (schema.type === "boolean") return given === true;
  if (given === undefined || given === null) return "";
  return Array.isArray(schema.enum) || typeof given !== "string" ? JSON.stringify(given) : given;
}

/**
 * @param {{ id: string, label: string, schema: Schema, value: string | boolean, isNeeded: boolean,
 *   fault: string | undefined, onChange: (value: string | boolean) => void }} props
 */
function Field({ id, label, schema, value, isNeeded, fault, onChange }) {
  const kind = kindOf(schema, DEEPEST);
  const help = `${id}:help`;
  const common = { id, "aria-describedby": help, "aria-invalid": fault ? "true" : null };
  const typed = (/** @type {any} */ event) => onChange(event.currentTarget.value);
  const words = html`<small id=${help}>${schema.description}${fault && html` <strong class="fault" role="alert">${fault}</strong>`}</small>`;
  if (kind === "flag") {
    const checked = (/** @type {any} */ event) => onChange(event.currentTarget.checked);
    return html`<div class="field"><label class="row"><input type="checkbox" ...${common} checked=${value === true} onChange=${checked} />${label}</label>${words}</div>`;
  }
  const control =
    kind === "choice"
      ? html`<select ...${common} onChange=${typed}>
          ${(!isNeeded || value === "") && html`<option value="" selected=${value === ""}>–</option>`}
          ${schema.enum.map((/** @type {unknown} */ each) => html`<option value=${JSON.stringify(each)} selected=${JSON.stringify(each) === value}>${typeof each === "string" ? each : JSON.stringify(each)}</option>`)}
        </select>`
      : kind === "number"
        ? html`<input ...${common} inputmode="decimal" value=${value} onInput=${typed} />`
        : html`<textarea ...${common} rows=${kind === "json" ? 3 : 1} spellcheck=${kind === "text"} value=${value} onInput=${typed}></textarea>`;
  return html`<div class="field">
    <label for=${id}>${label}${isNeeded ? "" : html` <small>optional</small>`}${kind === "json" && html` <small>JSON</small>`}</label>
    ${control}${words}
  </div>`;
}

/**
 * Return the value of the fields, and what is wrong with them by their paths.
 * @param {Schema} schema
 * @param {Typed} typed
 */
export function readForm(schema, typed) {
  /** @type {Record<string, string>} */
  const faults = {};
  return { value: objectOf(schema, "", 0), faults };

  /** @type {(of: Schema, path: string, depth: number) => Record<string, unknown>} */
  function objectOf(of, path, depth) {
    /** Not set as fields of an object: a name may be `__proto__`. @type {[string, unknown][]} */
    const values = [];
    const needed = Array.isArray(of.required) ? of.required : [];
    for (const [key, given] of Object.entries(of.properties)) {
      const each = resolved(Object(given), schema);
      const at = `${path}/${key}`;
      const kind = kindOf(each, depth);
      if (kind === "object") {
        values.push([key, objectOf(each, at, depth + 1)]);
        continue;
      }
      const text = typed[at] ?? firstOf(each);
      if (text === "" && !needed.includes(key)) continue;
      try {
        values.push([key, read(text, kind, each)]);
      } catch (error) {
        faults[at] = /** @type {Error} */ (error).message;
      }
    }
    return Object.fromEntries(values);
  }
}

/** @type {(text: string | boolean, kind: Kind, schema: Schema) => unknown} */
function read(text, kind, schema) {
  if (typeof text === "boolean" || kind === "text") return text;
  if (text.trim() === "") throw new Error(kind === "choice" ? "Choose one." : "Fill this in.");
  if (kind === "number") {
    const number = Number(text);
    if (!Number.isFinite(number)) throw new Error("Type a number.");
    if (schema.type === "integer" && !Number.isInteger(number)) throw new Error("Type a whole number.");
    return number;
  }
  return readJson(text);
}

/** Return the value of a JSON text. Throws an Error that says what to do. @param {string} text */
export function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('Type JSON, such as {"city": "Oslo"}, [1, 2] or "a text".');
  }
}
