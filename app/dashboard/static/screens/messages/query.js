/** The filters of the list of messages, as the address, the API and people have them. */

/** @typedef {import("agentq-client").MessageQuery} MessageQuery */

export const STATES = /** @type {const} */ (["queued", "processing", "interrupted", "completed", "failed", "cancelled"]);
export const PRIORITIES = /** @type {const} */ (["high", "normal", "low"]);

/** Filters that are typed as `name:value`, beside `metadata.KEY:value`. */
export const NAMES = ["q", "state", "agent", "priority", "thread_id", "error_code", "fingerprint"];

const METADATA = /^metadata\.(.+)/;

/** Return what to ask the server for. @param {URLSearchParams} query @returns {MessageQuery} */
export function queryOf(query) {
  /** @type {Record<string, unknown>} */
  const wanted = { limit: 100 };
  /** @type {Record<string, string>} */
  const metadata = {};
  for (const [name, value] of query) {
    const key = METADATA.exec(name)?.[1];
    if (key !== undefined) metadata[key] = value;
    else if (name === "state") wanted.state = query.getAll("state");
    else if (NAMES.includes(name)) wanted[name] = value;
  }
  return /** @type {MessageQuery} */ ({ ...wanted, ...(Object.keys(metadata).length > 0 && { metadata }) });
}

/**
 * Return the filter that a text names, such as `agent:chat`. Any other text, or one in quotes, is searched for. Null for an
 * empty text and an unknown name.
 * @param {string} text
 */
export function filterIn(text) {
  const given = text.trim();
  const [, name = "", value = ""] = /^([\w.-]+):(\S.*)$/.exec(given) ?? [];
  if (name === "") return given === "" ? null : { name: "q", value: given.replace(/^"(.+)"$/, "$1") };
  return NAMES.includes(name) || METADATA.test(name) ? { name, value: value.trim() } : null;
}
