/** The command palette, and the list of shortcuts. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { Dialog } from "./components/dialog.js";
import { html } from "./html.js";
import { keysInWords, shortcuts } from "./keyboard.js";
import { go } from "./router.js";
import { SCREENS } from "./screens.js";
import { may } from "./session.js";

/** @typedef {{ label: string, keys?: string, run: () => void }} Command */

/** A message's or a thread's id can be typed too. */
const ID = /^[\w.:-]{8,}$/;

/** @param {string} typed @returns {Command[]} */
function commands(typed) {
  const places = Object.entries(SCREENS)
    .filter(([, { scope, key }]) => key && may(scope))
    .map(([name, { title, key }]) => ({ label: `Go to ${title}`, keys: `g ${key}`, run: () => go([name]) }));
  const others = shortcuts()
    .filter(({ keys }) => !keys.startsWith("g ") && keys !== "mod+k")
    .map(({ label, keys, run }) => ({ label, keys, run: () => run(new KeyboardEvent("keydown")) }));
  const found = [...places, ...others].filter(({ label }) => label.toLowerCase().includes(typed.toLowerCase()));
  if (ID.test(typed)) {
    found.push(
      { label: `Open message ${typed}`, keys: "", run: () => go(["message", typed]) },
      { label: `Open thread ${typed}`, keys: "", run: () => go(["threads", typed]) },
    );
  }
  return found;
}

/** @param {{ onClose: () => void }} props */
export function Palette({ onClose }) {
  const typed = useSignal("");
  const chosen = useSignal(0);
  const found = commands(typed.value.trim());
  const at = Math.min(chosen.value, found.length - 1);
  useEffect(() => document.getElementById(`command-${at}`)?.scrollIntoView({ block: "nearest" }), [at]);
  /** @param {Command | undefined} command */
  const run = (command) => {
    if (!command) return;
    onClose();
    command.run();
  };
  /** @param {KeyboardEvent} event */
  const pressed = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) chosen.value = (at + step + found.length) % found.length;
    else if (event.key === "Enter") run(found[at]);
    else return;
    event.preventDefault();
  };
  /** @param {InputEvent & { currentTarget: HTMLInputElement }} event */
  const changed = (event) => {
    typed.value = event.currentTarget.value;
    chosen.value = 0;
  };
  return html`<${Dialog} title="Commands" onClose=${onClose}>
    <input
      role="combobox" aria-label="Command or id" aria-expanded="true" aria-controls="commands"
      aria-activedescendant=${found.length ? `command-${at}` : null} placeholder="Type a command or an id"
      onInput=${changed} onKeyDown=${pressed} autofocus
    />
    <ul id="commands" role="listbox" aria-label="Commands" class="choices">
      ${found.map(
        (command, index) => html`<li
          id="command-${index}" role="option" aria-selected=${index === at} onClick=${() => run(command)}
        >${command.label} ${command.keys && html`<kbd>${keysInWords(command.keys).join(" ")}</kbd>`}</li>`,
      )}
    </ul>
    ${found.length === 0 && html`<p class="quiet">No command has this name. An id opens its message or thread.</p>`}
  </${Dialog}>`;
}

/** @param {{ onClose: () => void }} props */
export function ShortcutList({ onClose }) {
  return html`<${Dialog} title="Shortcuts" onClose=${onClose}>
    <table><tbody>
      ${shortcuts().map(
        ({ keys, label }) => html`<tr key=${keys}><td>${keysInWords(keys).map((key) => html`<kbd>${key}</kbd> `)}</td><td>${label}</td></tr>`,
      )}
    </tbody></table>
    <div class="row"><button onClick=${onClose}>Close</button></div>
  </${Dialog}>`;
}
