/** The settings of this page and this server, and where to read on. */

import { client } from "../client.js";
import { Problem } from "../components/problem.js";
import { absolute } from "../format.js";
import { html } from "../html.js";
import { shortcuts } from "../keyboard.js";
import { useLoaded } from "../loading.js";
import { API_URL, session } from "../session.js";
import { theme, THEMES } from "../theme.js";
import { Effective } from "./settings/effective.js";

/** Pages of the API, by their names in `GET /`. */
const PAGES = [
  { name: "docs", title: "Try the API", note: "every request, with a form to send it" },
  { name: "redoc", title: "Read the API", note: "the same description as one long page" },
  { name: "openapi", title: "OpenAPI description", note: "JSON, for generators of clients" },
  { name: "health", title: "Health", note: "checks, agents and settings of the process, as JSON" },
];

/** Rights in the words of people. @type {Record<string, string>} */
const SCOPES = {
  submit: "submit messages",
  read: "read",
  control: "cancel, answer, retry and change",
  admin: "manage keys, the queue and the audit log of all tenants",
  metrics: "read the metrics",
};

export default function Settings() {
  return html`
    <div class="heading"><h1>Settings and help</h1></div>
    <div class="stack">
      <${Looks} />
      <${Caller} />
      <${About} />
      <${Effective} />
      <${Help} />
    </div>
  `;
}

function Looks() {
  return html`<section class="card stack" aria-label="Theme">
    <h2>Theme</h2>
    <div class="row" role="radiogroup" aria-label="Theme">
      ${THEMES.map(
        (each) => html`<label class="row" key=${each}>
          <input type="radio" name="theme" checked=${theme.value === each} onChange=${() => (theme.value = each)} />
          ${{ system: "As the system", light: "Light", dark: "Dark" }[each]}
        </label>`,
      )}
    </div>
  </section>`;
}

function Caller() {
  const { view } = session.value;
  if (view === null) return null;
  return html`<section class="card stack" aria-label="You">
    <h2>You</h2>
    <p>
      You are <strong>${view.actor}</strong> of the tenant <strong>${view.tenant}</strong>, and may${" "}
      ${view.scopes.map((scope) => SCOPES[scope] ?? scope).join("; ") || "nothing"}.
      ${view.ends_at !== null && ` The session ends at ${absolute(view.ends_at)} at the latest.`}
    </p>
    ${view.csrf_token === null && view.actor === "local" && html`<p class="quiet">The server has no keys, so it serves programs of its own host alone. Make a key to admit others.</p>`}
  </section>`;
}

function About() {
  const { value, error, reload } = useLoaded((signal) => client.server.about({ signal }), []);
  return html`<section class="card stack" aria-label="This server">
    <h2>This server</h2>
    ${error !== null && html`<${Problem} error=${error} retry=${reload} />`}
    ${value &&
    html`<p>${value.name}, version ${value.version}</p>
      <ul class="links">
        ${PAGES.filter(({ name }) => value.links[name]).map(
          ({ name, title, note }) => html`<li key=${name}><a href="${API_URL}${value.links[name]}" target="_blank" rel="noopener">${title}</a> <small>${note}</small></li>`,
        )}
      </ul>`}
  </section>`;
}

function Help() {
  return html`<section class="card stack" aria-label="Help">
    <h2>Help</h2>
    <p>
      Everything works by keyboard. <kbd>Ctrl</kbd> <kbd>K</kbd> opens all commands and finds a message or a thread by its id.${" "}
      <kbd>?</kbd> lists the keys of the present screen. Filters are a part of the address, so a link shows others what you see.
    </p>
    <p>
      The badge at the edge tells whether what you see is the present: live, reconnecting since some time, or paused by you. What may be
      out of date is grey. A hidden page loads nothing.
    </p>
    <table><tbody>
      ${shortcuts().map(
        ({ keys, label }) => html`<tr key=${keys}><td>${keys.replace("mod+", "Ctrl ").split(" ").map((key) => html`<kbd>${key}</kbd> `)}</td><td>${label}</td></tr>`,
      )}
    </tbody></table>
    <p>In a terminal, <code>agentq top</code> shows the queue, <code>agentq doctor</code> looks for faults, and <code>agentq --help</code> lists all commands.</p>
  </section>`;
}
