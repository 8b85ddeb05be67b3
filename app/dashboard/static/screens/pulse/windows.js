/** The windows of time that Pulse shows. The address names the chosen one. */

/**
 * @typedef {object} Window
 * @property {string} name  in the address
 * @property {string} title
 * @property {number} seconds
 * @property {60 | 300 | 3600} step  seconds between two points of its charts
 * @property {number} busyMs  shortest time between two loads of its charts, while changes come
 */

/** @type {readonly [Window, ...Window[]]} */
export const WINDOWS = [
  { name: "1h", title: "1 hour", seconds: 3_600, step: 60, busyMs: 30_000 },
  { name: "24h", title: "24 hours", seconds: 86_400, step: 300, busyMs: 120_000 },
  { name: "7d", title: "7 days", seconds: 7 * 86_400, step: 3_600, busyMs: 300_000 },
];

/** @param {URLSearchParams} query  of the place; a name that does not exist counts as none */
export function windowOf(query) {
  return WINDOWS.find(({ name }) => name === query.get("window")) ?? WINDOWS[0];
}

/** Return when the window begins. @param {Window} window */
export function beginOf({ seconds }) {
  return new Date(Date.now() - 1000 * seconds).toISOString();
}
