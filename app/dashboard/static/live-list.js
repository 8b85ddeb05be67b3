/** A list that follows the server's changes, unless somebody has gone down in it: new rows then wait until they come back. */

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

const RELOAD_MS = 1_000;

/**
 * Have `reloadSoon` load a list's first page some time after the last change. Where its first rows are not in sight, that would
 * take what is looked at from under the eyes, so `isBehind` tells that there is more. The list is loaded once they are in sight.
 * @param {{ reload: (least?: number) => Promise<void> }} list
 */
export function useLiveList(list) {
  const isBehind = useSignal(false);
  const place = useRef(0);
  const newest = useRef(list);
  newest.current = list;
  const timer = useRef(/** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined));
  useEffect(() => () => clearTimeout(timer.current), []);
  const reload = () => {
    isBehind.value = place.current > 0;
    if (!isBehind.value) void newest.current.reload(0);
  };
  const reloadSoon = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(reload, RELOAD_MS);
  };
  /** @param {number} at  the first row in sight */
  const onPlace = (at) => {
    place.current = at;
    if (at === 0 && isBehind.peek()) reload();
  };
  return { reloadSoon, onPlace, isBehind: isBehind.value };
}
