/** Lines over time. The figures are in a table too, for readers who cannot see lines. */

import "../language.js";

import { useEffect, useRef } from "preact/hooks";
import UPlot from "uplot";

import { absolute } from "../format.js";
import { html } from "../html.js";
import { theme } from "../theme.js";

/**
 * @typedef {object} Line
 * @property {string} label
 * @property {string} color  the name of a colour of tokens.css
 * @property {readonly (number | null)[]} values  null where nothing is known
 */

const HEIGHT = 150;
const MOST_ROWS = 60;

/**
 * @param {{ title: string, times: readonly string[], lines: readonly Line[], format: (value: number) => string }} props
 *   `times` are as the API gives them, and each line has as many values.
 */
export function Chart({ title, times, lines, format }) {
  const element = useRef(/** @type {HTMLDivElement | null} */ (null));
  const plot = useRef(/** @type {UPlot | null} */ (null));
  const names = lines.map(({ label }) => label).join("\n");
  const chosen = theme.value;
  /** @type {any} */
  const data = [times.map((time) => Date.parse(time) / 1000), ...lines.map(({ values }) => values)];

  useEffect(() => {
    const target = /** @type {HTMLDivElement} */ (element.current);
    plot.current = new UPlot(options(target, lines, format), data, target);
    const sizes = new ResizeObserver(() => plot.current?.setSize({ width: target.clientWidth, height: HEIGHT }));
    sizes.observe(target);
    return () => {
      sizes.disconnect();
      plot.current?.destroy();
    };
  }, [names, chosen]);
  useEffect(() => plot.current?.setData(data), [data]);

  const isEmpty = lines.every(({ values }) => values.every((value) => !value));
  return html`<figure class="card chart">
    <figcaption><h2>${title}</h2>
      ${isEmpty && html`<small>Nothing in this time.</small>`}
      <ul class="row">${lines.map(({ label, color }) => html`<li><small><${Mark} color=${color} /> ${label}</small></li>`)}</ul>
    </figcaption>
    <div ref=${element} aria-hidden="true" class="plot"></div>
    <details class="figures"><summary><small>Figures</small></summary><${Figures} ...${{ times, lines, format }} /></details>
  </figure>`;
}

/** @param {{ color: string }} props */
function Mark({ color }) {
  return html`<svg class="mark" viewBox="0 0 12 4" aria-hidden="true"><path d="M0 2h12" stroke="var(--${color})" stroke-width="3" /></svg>`;
}

/** @param {{ times: readonly string[], lines: readonly Line[], format: (value: number) => string }} props */
function Figures({ times, lines, format }) {
  const first = Math.max(0, times.length - MOST_ROWS);
  return html`<table>
    <thead><tr><th>Time</th>${lines.map(({ label }) => html`<th>${label}</th>`)}</tr></thead>
    <tbody>
      ${times.slice(first).map(
        (time, at) => html`<tr><td>${absolute(time)}</td>
          ${lines.map(({ values }) => html`<td class="number">${formatted(values[first + at], format)}</td>`)}
        </tr>`,
      )}
    </tbody>
  </table>`;
}

/** @type {(value: number | null | undefined, format: (value: number) => string) => string} */
function formatted(value, format) {
  return value === null || value === undefined ? "–" : format(value);
}

/** @type {(target: Element, lines: readonly Line[], format: (value: number) => string) => UPlot.Options} */
function options(target, lines, format) {
  const style = getComputedStyle(target);
  const colorOf = (/** @type {string} */ name) => resolved(target, name);
  const axis = { stroke: colorOf("quiet"), grid: { stroke: colorOf("line"), width: 1 }, ticks: { show: false } };
  const font = `12px ${style.fontFamily}`;
  return {
    width: target.clientWidth || 300,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [
      { ...axis, font },
      { ...axis, font, size: 56, values: (_, values) => values.map((value) => format(value)) },
    ],
    series: [
      {},
      ...lines.map(({ label, color }) => ({
        label,
        stroke: colorOf(color),
        width: 2,
        // A point without neighbours has no line.
        points: { show: false, size: 6, fill: colorOf(color), filter: (/** @type {UPlot} */ { data }, /** @type {number} */ at) => lone(data[at] ?? []) },
        value: (/** @type {UPlot} */ _, /** @type {number | null} */ value) => formatted(value, format),
      })),
    ],
  };
}

/** Return the places of the values that have none beside them. @param {UPlot.TypedArray | readonly (number | null | undefined)[]} values */
function lone(values) {
  const isKnown = (/** @type {number} */ at) => values[at] !== null && values[at] !== undefined;
  return Array.from(values, (_, at) => at).filter((at) => isKnown(at) && !isKnown(at - 1) && !isKnown(at + 1));
}

/** Return a colour as canvases take it. @type {(target: Element, name: string) => string} */
function resolved(target, name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  target.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}
