/** Amounts beside each other: a name, a bar, and the number itself. */

import { html } from "../html.js";

/**
 * @typedef {object} Bar
 * @property {string} name
 * @property {number} value
 * @property {string} text  the value as people read it
 * @property {string} [note]  what else there is to say
 * @property {string} [color]  the name of a colour of tokens.css
 */

/** @param {{ title: string, bars: readonly Bar[] }} props */
export function Bars({ title, bars }) {
  const most = Math.max(...bars.map(({ value }) => value), 1e-9);
  return html`<section class="card bars" aria-label=${title}>
    <h2>${title}</h2>
    <table><tbody>
      ${bars.map(
        ({ name, value, text, note = "", color = "accent" }) => html`<tr key=${name}>
          <th scope="row" title=${name}>${name}</th>
          <td class="amount"><svg preserveAspectRatio="none" viewBox="0 0 100 10" aria-hidden="true"><rect width=${(100 * value) / most} height="10" fill="var(--${color})" /></svg></td>
          <td class="number">${text}</td>
          <td class="note">${note}</td>
        </tr>`,
      )}
    </tbody></table>
  </section>`;
}
