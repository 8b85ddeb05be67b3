/**
 * The place in the dashboard, which is the part of the address after `#`. It never reaches a server or its log, and links
 * work below any prefix of a proxy.
 */

import { signal } from "@preact/signals";

/**
 * @typedef {object} Place
 * @property {string} screen  the first part of the path
 * @property {string[]} parts  the further parts, decoded
 * @property {URLSearchParams} query  filters and what else a screen keeps in the address
 */

/** @typedef {Record<string, string | readonly string[] | null | undefined>} Query */

export const place = signal(placeIn(location.hash));

addEventListener("hashchange", () => (place.value = placeIn(location.hash)));

/**
 * Return the place that an address names.
 * @param {string} hash
 * @returns {Place}
 */
export function placeIn(hash) {
  const [path = "", query = ""] = hash.replace(/^#?\/?/, "").split(/\?(.*)/s);
  const [screen = "", ...parts] = path.split("/").map(decoded);
  return { screen, parts, query: new URLSearchParams(query) };
}

/** @param {string} part */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // typed by hand: the screen says that there is no such thing
  }
}

/**
 * Return the address of a place, for links. What is null, undefined or empty is left out.
 * @param {readonly string[]} path
 * @param {Query} [query]
 */
export function linkTo(path, query = {}) {
  const pairs = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) if (each) pairs.append(name, each);
  }
  const search = pairs.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${search && `?${search}`}`;
}

/**
 * Go to a place. With `replace`, the button "back" does not return here, as for each letter typed into a filter.
 * @param {readonly string[]} path
 * @param {Query} [query]
 * @param {{ replace?: boolean }} [options]
 */
export function go(path, query, { replace = false } = {}) {
  const address = linkTo(path, query);
  if (replace) history.replaceState(null, "", address);
  else location.hash = address;
  place.value = placeIn(address); // the browser's event comes later, and a person may act before it
}
