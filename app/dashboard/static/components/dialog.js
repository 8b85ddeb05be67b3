/** Dialogs over the page: native ones, so that the keyboard stays in them and Escape closes them. */

import { useEffect, useRef } from "preact/hooks";

import { html } from "../html.js";

/**
 * A dialog that is open while it is shown. `onClose` is called when it is to be closed; without it, it cannot be.
 * @param {{ title: string, onClose?: () => void, children?: import("preact").ComponentChildren }} props
 */
export function Dialog({ title, onClose, children }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    element.current?.showModal();
  }, []);
  /** @param {Event} event */
  const cancelled = (event) => {
    event.preventDefault();
    onClose?.();
  };
  return html`<dialog ref=${element} onCancel=${cancelled} aria-label=${title}>
    <div class="stack"><h2>${title}</h2>${children}</div>
  </dialog>`;
}

/**
 * Ask before something that cannot be undone. `word` names the action on its button.
 * @param {{ title: string, word: string, onConfirm: () => void, onClose: () => void,
 *   children?: import("preact").ComponentChildren }} props
 */
export function Confirmation({ title, word, onConfirm, onClose, children }) {
  const confirmed = () => {
    onClose();
    onConfirm();
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <div>${children}</div>
    <div class="row">
      <button class="danger" onClick=${confirmed}>${word}</button>
      <button onClick=${onClose}>Keep as it is</button>
    </div>
  </${Dialog}>`;
}
