/** Keeps texts that were typed and not sent yet. They outlive errors, the end of a session and a reload of the page, and no other tab has them. */

import { useSignal } from "@preact/signals";
import { useEffect, useLayoutEffect } from "preact/hooks";

const PREFIX = "agentq-draft:";
const KEEP_MS = 300;

/** Whether nothing is kept any more, because the page is about to begin anew for somebody else. */
let isOver = false;

/** Forget all texts of this tab. The page has to be loaded anew afterwards. */
export function forgetDrafts() {
  isOver = true;
  try {
    for (const name of Object.keys(sessionStorage)) if (name.startsWith(PREFIX)) sessionStorage.removeItem(name);
  } catch {
    // A browser may forbid storage.
  }
}

/**
 * A signal whose value the browser keeps under the name. `forget` returns it to the first value, once it was sent.
 * @template T
 * @param {string} name
 * @param {T} first
 * @returns {{ draft: import("@preact/signals").Signal<T>, forget: () => void }}
 */
export function useDraft(name, first) {
  const draft = useSignal(kept(name, first));
  const { value } = draft;
  useEffect(() => {
    const timer = setTimeout(() => keep(name, value), KEEP_MS);
    return () => clearTimeout(timer);
  }, [name, value]);
  // Other effects begin after the page was drawn, when something may have been typed already.
  useLayoutEffect(() => {
    const keepNow = () => keep(name, draft.peek());
    addEventListener("pagehide", keepNow);
    return () => {
      removeEventListener("pagehide", keepNow);
      keepNow();
    };
  }, [name]);
  const forget = () => {
    draft.value = first;
    keep(name, first);
  };
  return { draft, forget };

  /** @param {string} to @param {T} text */
  function keep(to, text) {
    if (isOver) return;
    try {
      if (text === first) sessionStorage.removeItem(PREFIX + to);
      else sessionStorage.setItem(PREFIX + to, JSON.stringify(text));
    } catch {
      // A browser may forbid storage, or have no room. The draft then lives as long as the page.
    }
  }
}

/** @template T @param {string} name @param {T} first @returns {T} */
function kept(name, first) {
  try {
    const text = sessionStorage.getItem(PREFIX + name);
    return text === null ? first : JSON.parse(text);
  } catch {
    return first;
  }
}
