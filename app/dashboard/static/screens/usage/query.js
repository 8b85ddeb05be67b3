/** The window and the groups of Usage, which the address names. */

/** @typedef {import("agentq-client").Schemas["UsageGroup"]} Group */
/** @typedef {{ name: string, title: string, hours: number, step?: 300 | 3600 }} Window  `step` is that of charts by minute, in seconds */

/** @type {readonly Window[]} */
export const WINDOWS = [
  { name: "24h", title: "24 hours", hours: 24, step: 300 },
  { name: "7d", title: "7 days", hours: 7 * 24, step: 3_600 },
  { name: "30d", title: "30 days", hours: 30 * 24 },
  { name: "90d", title: "90 days", hours: 90 * 24 },
];

const DEFAULT = /** @type {Window} */ (WINDOWS[2]);

/** @type {readonly { name: Group, title: string, scope: import("../../session.js").Scope }[]} */
export const GROUPS = [
  { name: "hour", title: "Hour", scope: "read" },
  { name: "day", title: "Day", scope: "read" },
  { name: "tenant", title: "Tenant", scope: "admin" },
  { name: "key", title: "Key", scope: "read" },
  { name: "subject", title: "End user", scope: "read" },
  { name: "agent", title: "Agent", scope: "read" },
  { name: "model", title: "Model", scope: "read" },
];

/** @param {URLSearchParams} query  of the place; a name that does not exist counts as none */
export function windowOf(query) {
  return WINDOWS.find(({ name }) => name === query.get("window")) ?? DEFAULT;
}

/** @param {URLSearchParams} query @returns {Group[]} */
export function groupsOf(query) {
  const wanted = new Set((query.get("by") ?? "").split(","));
  const named = GROUPS.flatMap(({ name }) => (wanted.has(name) ? [name] : []));
  const found = named.includes("hour") && named.includes("day") ? named.filter((name) => name !== "day") : named;
  return found.length > 0 ? found : ["day"];
}

const HOUR_MS = 3_600_000;

/**
 * Return what to ask for. Windows of days begin with a day of UTC, as the sums do.
 * @param {Window} window
 * @param {readonly Group[]} groups
 * @returns {import("agentq-client/operators").UsageQuery}
 */
export function wantedOf({ hours }, groups) {
  const begin = Date.now() - (hours - 1) * HOUR_MS;
  const unit = hours > 24 ? 24 * HOUR_MS : HOUR_MS;
  return { since: new Date(Math.floor(begin / unit) * unit), group_by: groups };
}
