/** Numbers, times and sizes as people read them. */

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });
const MOMENT = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });
const AGO = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** The sign for a number that is not known. A dash is never mistaken for 0. */
export const UNKNOWN = "–";

/** @param {number | null | undefined} value */
export function whole(value) {
  return value === null || value === undefined ? UNKNOWN : NUMBER.format(value);
}

/** @param {number | null | undefined} value */
export function short(value) {
  return value === null || value === undefined ? UNKNOWN : value < 10_000 ? NUMBER.format(value) : SHORT.format(value);
}

/**
 * Return a time span, such as `820 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
 * @param {number | null | undefined} seconds
 */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < MINUTE) return `${Math.round(seconds)} s`;
  if (seconds < HOUR) return pair(seconds, MINUTE, "min", 1, "s");
  if (seconds < DAY) return pair(seconds, HOUR, "h", MINUTE, "min");
  return pair(seconds, DAY, "d", HOUR, "h");
}

/** @type {(seconds: number, big: number, bigUnit: string, small: number, smallUnit: string) => string} */
function pair(seconds, big, bigUnit, small, smallUnit) {
  const rounded = Math.round(seconds / small) * small;
  const rest = Math.floor((rounded % big) / small);
  return `${Math.floor(rounded / big)} ${bigUnit}${rest ? ` ${rest} ${smallUnit}` : ""}`;
}

/**
 * Return a time as seen from `now`, such as `12s ago`.
 * @param {string} moment  as the API gives it
 * @param {number} [now]  milliseconds
 */
export function ago(moment, now = Date.now()) {
  const seconds = Math.round((Date.parse(moment) - now) / 1000);
  const size = Math.abs(seconds);
  if (size < MINUTE) return AGO.format(seconds, "second");
  if (size < HOUR) return AGO.format(Math.trunc(seconds / MINUTE), "minute");
  if (size < DAY) return AGO.format(Math.trunc(seconds / HOUR), "hour");
  return AGO.format(Math.trunc(seconds / DAY), "day");
}

/** @param {string} moment  as the API gives it */
export function absolute(moment) {
  return MOMENT.format(new Date(moment));
}

/**
 * Return an amount of money; small ones with more digits.
 * @param {number | string | null | undefined} amount
 * @param {string} [currency]
 */
export function money(amount, currency = "USD") {
  if (amount === null || amount === undefined) return UNKNOWN;
  const value = Number(amount);
  const magnitude = Math.abs(value);
  const digits = magnitude === 0 || magnitude >= 0.1 ? 2 : magnitude >= 0.001 ? 4 : 6;
  return value.toLocaleString("en", { style: "currency", currency, minimumFractionDigits: 2, maximumFractionDigits: digits });
}

/** @param {number | null | undefined} bytes */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return UNKNOWN;
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** @type {(count: number, one: string, many?: string) => string} */
export function plural(count, one, many = `${one}s`) {
  return `${whole(count)} ${count === 1 ? one : many}`;
}
