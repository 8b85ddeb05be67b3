/** Usage as a table, with its totals. */

import { absolute, money, whole } from "../../format.js";
import { html } from "../../html.js";
import { GROUPS } from "./query.js";

/** @typedef {import("agentq-client/operators").UsageRow} UsageRow */

/**
 * @param {{ rows: readonly UsageRow[], total: UsageRow, groups: readonly string[], names: ReadonlyMap<string, string> }} props
 *   `names` has the names of keys by their ids
 */
export function Rows({ rows, total, groups, names }) {
  const heads = GROUPS.filter(({ name }) => groups.includes(name));
  return html`<section class="card" aria-label="Usage by group"><div class="scrolled" tabindex="0" role="group" aria-label="Table of usage"><table>
    <thead><tr>
      ${heads.map(({ name, title }) => html`<th key=${name} scope="col">${title}</th>`)}
      ${["Calls", "Read", "From cache", "Written", "Reasoning", "Cost"].map((title) => html`<th key=${title} scope="col" class="number">${title}</th>`)}
    </tr></thead>
    <tbody>${rows.map((row) => {
      const named = namesOf(row, groups, names);
      return html`<tr key=${named.join("\n")}>${named.map((name) => html`<td class="cited" title=${name}>${name}</td>`)}<${Amounts} row=${row} /></tr>`;
    })}</tbody>
    <tfoot><tr><th scope="row" colspan=${heads.length}>Together</th><${Amounts} row=${total} /></tr></tfoot>
  </table></div>
  ${!total.cost_complete && html`<p><small>A + says that the price of some calls is not known, so the cost is higher.</small></p>`}
  </section>`;
}

/** @param {{ row: UsageRow }} props */
function Amounts({ row }) {
  const counts = [row.calls, row.input_tokens, row.cached_tokens, row.output_tokens, row.reasoning_tokens];
  return html`${counts.map((count) => html`<td class="number">${whole(count)}</td>`)}
    <td class="number">${money(row.cost)}${row.cost !== null && !row.cost_complete && "+"}</td>`;
}

/**
 * Return what a row is of, in the order of the columns.
 * @param {UsageRow} row
 * @param {readonly string[]} groups
 * @param {ReadonlyMap<string, string>} names
 */
export function namesOf(row, groups, names) {
  return GROUPS.filter(({ name }) => groups.includes(name)).map(({ name }) => {
    const value = row[name];
    if (value === null) return name === "key" ? "without a key" : name === "subject" ? "without an end user" : "–";
    if (name === "hour") return absolute(value);
    return name === "key" ? (names.get(value) ?? value) : value;
  });
}
