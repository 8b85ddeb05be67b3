/** The frame: navigation, the present screen, and what lies over it. */

import { signal } from "@preact/signals";
import { useEffect, useErrorBoundary, useRef } from "preact/hooks";

import { findSession } from "./client.js";
import { LiveBadge } from "./components/live-badge.js";
import { Problem } from "./components/problem.js";
import { html } from "./html.js";
import { useShortcuts } from "./keyboard.js";
import { Notes, attempt } from "./notes.js";
import { Palette, ShortcutList } from "./palette.js";
import { go, linkTo, place } from "./router.js";
import { FIRST, SCREENS } from "./screens.js";
import { isSignInNeeded, may, session } from "./session.js";
import { SignIn, Who } from "./sign-in.js";
import { nextTheme, theme } from "./theme.js";

/** @typedef {import("preact").FunctionComponent<import("./screens.js").ScreenProps>} Component */

const NOT_LOADED = "This part of the dashboard cannot be loaded. Try again once the server can be reached. If it was updated, reload the page.";

/** Components that are loaded. @type {import("@preact/signals").Signal<Record<string, Component>>} */
const loaded = signal({});

/** The error at the start, which concerns all screens. */
const startFailure = signal(/** @type {unknown} */ (null));

/** Errors of screens that could not be loaded. @type {import("@preact/signals").Signal<Record<string, unknown>>} */
const failures = signal({});

/** @type {import("@preact/signals").Signal<"palette" | "shortcuts" | null>} */
const over = signal(null);

async function start() {
  startFailure.value = null;
  try {
    await findSession();
  } catch (error) {
    startFailure.value = error;
  }
}

/** @param {string} name */
async function loadScreen(name) {
  failures.value = { ...failures.value, [name]: null };
  try {
    const module = await SCREENS[name]?.load();
    if (module) loaded.value = { ...loaded.value, [name]: module.default };
  } catch (error) {
    const isOurs = !(error instanceof TypeError); // browsers throw a TypeError for a file that they cannot get
    failures.value = { ...failures.value, [name]: isOurs ? error : new Error(NOT_LOADED) };
  }
}

/** Load the page anew once the server answers: browsers do not ask again for a module that they could not get. */
async function reload() {
  if (await attempt(() => findSession().then(() => "The server answers. The page is loaded anew."))) location.reload();
}

export function Shell() {
  const name = place.value.screen || FIRST;
  const screen = SCREENS[name];
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => void start(), []);
  useEffect(() => {
    if (screen && !loaded.value[name]) void loadScreen(name);
    document.title = screen ? `${screen.title} · Agent Queue System` : "Agent Queue System";
    main.current?.focus({ preventScroll: true });
  }, [name]);
  useShortcuts([
    { keys: "mod+k", label: "Open the command palette", run: () => (over.value = "palette") },
    { keys: "?", label: "Show the shortcuts", run: () => (over.value = "shortcuts") },
    { keys: "t", label: "Change the theme", run: nextTheme },
    ...Object.entries(SCREENS).flatMap(([to, { key, title }]) => (key ? { keys: `g ${key}`, label: `Go to ${title}`, run: () => go([to]) } : [])),
  ]);
  return html`<div class="shell">
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <${Side} name=${name} />
    <main id="main" ref=${main} tabindex="-1"><${Present} name=${name} /></main>
    ${isSignInNeeded.value && html`<${SignIn} />`}
    ${over.value === "palette" && html`<${Palette} onClose=${() => (over.value = null)} />`}
    ${over.value === "shortcuts" && html`<${ShortcutList} onClose=${() => (over.value = null)} />`}
    <${Notes} />
  </div>`;
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault(); // the address has the place
  document.getElementById("main")?.focus();
}

/** @param {{ name: string }} props */
function Side({ name }) {
  const links = Object.entries(SCREENS).filter(([, { scope, key }]) => key && may(scope));
  return html`<header class="side">
    <div class="name"><img src=${iconAddress()} alt="" />Agent Queue</div>
    <nav aria-label="Screens"><ul>
      ${links.map(
        ([to, { title, shape, badge }]) => html`<li key=${to}>
          <a href=${linkTo([to])} aria-current=${to === (SCREENS[name]?.under ?? name) ? "page" : null}><${Icon} shape=${shape} />${title}${badge && html`<${badge} />`}</a>
        </li>`,
      )}
    </ul></nav>
    <div class="foot">
      <${LiveBadge} />
      <button class="plain" title="Command palette (Ctrl K)" aria-label="Command palette" onClick=${() => (over.value = "palette")}><${Icon} shape="M11 11l4 4M12 7A5 5 0 1 1 2 7a5 5 0 0 1 10 0z" /></button>
      <button class="plain" title="Theme: ${theme.value}" aria-label="Theme: ${theme.value}" onClick=${nextTheme}><${Icon} shape="M8 1.5a6.5 6.5 0 1 0 0 13zM8 1.5a6.5 6.5 0 0 1 0 13" /></button>
      <${Who} />
    </div>
  </header>`;
}

function iconAddress() {
  return document.querySelector('link[rel="icon"]')?.getAttribute("href");
}

/** @param {{ shape: string }} props */
export function Icon({ shape }) {
  return html`<svg viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.6" aria-hidden="true"><path d=${shape} /></svg>`;
}

/** @param {{ name: string }} props */
function Present({ name }) {
  const screen = SCREENS[name];
  if (!screen) return html`<${Missing} />`;
  const Component = loaded.value[name];
  const failure = startFailure.value ?? failures.value[name] ?? null;
  if (failure !== null) {
    const retry = () => void (session.value.isKnown ? reload() : start());
    return html`<${Problem} error=${failure} retry=${retry} />`;
  }
  if (!Component || !session.value.isKnown) return html`<p class="quiet" role="status">Loading…</p>`;
  if (session.value.view !== null && !may(screen.scope)) {
    return html`<${Problem} error=${`${screen.title} needs the scope ${screen.scope}, which you do not have.`} />`;
  }
  const { parts, query } = place.value;
  return html`<${Boundary} key=${name}><${Component} parts=${parts} query=${query} /></${Boundary}>`;
}

/** Shows an error of a screen's own code in its place. @param {{ children?: import("preact").ComponentChildren }} props */
function Boundary({ children }) {
  const [error, reset] = useErrorBoundary();
  return error ? html`<${Problem} error=${error} retry=${reset} />` : children;
}

function Missing() {
  return html`<div class="empty">
    <h1>There is no such screen</h1>
    <p>The address may be of another version. <a href=${linkTo([FIRST])}>Go to ${SCREENS[FIRST]?.title}</a></p>
  </div>`;
}
