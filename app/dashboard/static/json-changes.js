/** The differences of two JSON values. */

/** @typedef {{ path: string, kind: "added" | "removed" | "changed", before: unknown, after: unknown }} Change */

/**
 * Return what differs, in the order of the later value. Entries of lists with an `id` are compared by it, others by
 * their place.
 * @param {unknown} before
 * @param {unknown} after
 * @param {string} [path]
 * @returns {Change[]}
 */
export function changesOf(before, after, path = "") {
  if (Object.is(before, after)) return [];
  const [old, present] = [partsOf(before), partsOf(after)];
  if (old === null || present === null || Array.isArray(before) !== Array.isArray(after)) {
    return JSON.stringify(before) === JSON.stringify(after) ? [] : [{ path, kind: "changed", before, after }];
  }
  const found = [...present].flatMap(([name, value]) =>
    old.has(name)
      ? changesOf(old.get(name), value, joined(path, name))
      : [{ path: joined(path, name), kind: /** @type {const} */ ("added"), before: undefined, after: value }],
  );
  const removed = [...old].filter(([name]) => !present.has(name));
  return [
    ...found,
    ...removed.map(([name, value]) => ({ path: joined(path, name), kind: /** @type {const} */ ("removed"), before: value, after: undefined })),
  ];
}

/** Return the parts of an object or a list by their names; null for other values. @param {unknown} value @returns {Map<string, unknown> | null} */
function partsOf(value) {
  if (typeof value !== "object" || value === null) return null;
  if (!Array.isArray(value)) return new Map(Object.entries(value));
  const byId = new Map(value.map((each) => [String(each?.id), each]));
  const haveIds = value.every((each) => typeof each?.id === "string") && byId.size === value.length;
  return haveIds ? byId : new Map(value.map((each, at) => [String(at), each]));
}

/** @param {string} path @param {string} name */
function joined(path, name) {
  return path ? `${path} › ${name}` : name;
}
