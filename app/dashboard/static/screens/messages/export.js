/** The messages that match the filters, as a file. */

import { client } from "../../client.js";
import { download } from "../../download.js";
import { plural } from "../../format.js";
import { queryOf } from "./query.js";

/** @typedef {import("agentq-client").Message} Message */

/** Most messages of a file, which the page holds in memory. */
const MOST = 100_000;

const COLUMNS = /** @type {const} */ ([
  "message_id", "state", "priority", "agent", "agent_version", "thread_id", "user_message", "result", "error", "error_code",
  "fingerprint", "attempt", "created_at", "started_at", "completed_at", "subject", "metadata",
]);

/** Load all that match and have the browser save it. Return what was done. @type {(query: URLSearchParams, format: "jsonl" | "csv") => Promise<string>} */
export async function exportAll(query, format) {
  const lines = format === "csv" ? [COLUMNS.join(",")] : [];
  let count = 0;
  for await (const page of client.messages({ ...queryOf(query), limit: 1_000 }).pages()) {
    for (const message of page) lines.push(format === "csv" ? COLUMNS.map((name) => cell(message[name])).join(",") : JSON.stringify(message));
    count += page.length;
    if (count >= MOST) break;
  }
  download(`messages.${format}`, [`${lines.join("\n")}\n`], format === "csv" ? "text/csv" : "application/jsonl");
  const words = `${plural(count, "message")} exported.`;
  return count >= MOST ? `${words} There are more: use “agentq export” for all of them.` : words;
}

/** Texts that begin like a formula get a quote before them, since spreadsheets would compute them. @param {unknown} value */
function cell(value) {
  if (value === null || value === undefined) return "";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
