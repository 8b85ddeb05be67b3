/** Light, dark, or as the system has it. The choice is kept in the browser. */

import { effect, signal } from "@preact/signals";

/** @typedef {"system" | "light" | "dark"} Theme */

const KEY = "agentq-theme";

/** @type {readonly Theme[]} */
export const THEMES = ["system", "light", "dark"];

export const theme = signal(kept());

/** Show the page in the chosen theme, and in each one that is chosen later. */
export function applyTheme() {
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
    keep(theme.value);
  });
}

/** Choose the next theme. */
export function nextTheme() {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system";
}

/** @returns {Theme} */
function kept() {
  try {
    return THEMES.find((each) => each === localStorage.getItem(KEY)) ?? "system";
  } catch {
    return "system"; // a browser may forbid storage
  }
}

/** @param {Theme} chosen */
function keep(chosen) {
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // The choice holds for this page.
  }
}
