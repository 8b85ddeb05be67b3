/** The API keys, by which callers may use the server, and the audit log of what they changed. */

import { html } from "../html.js";
import { linkTo } from "../router.js";
import { AuditLog } from "./access/audit.js";
import { Keys } from "./access/keys.js";

const TABS = [
  { part: "", title: "Keys" },
  { part: "audit", title: "Audit log" },
];

/** @param {import("../screens.js").ScreenProps} props */
export default function Access({ parts: [part = ""], query }) {
  const isAudit = part === "audit";
  return html`
    <div class="heading"><h1>Access</h1></div>
    <div class="stack">
      <nav class="tabs" aria-label="Parts of this screen"><ul>
        ${TABS.map(
          ({ part: to, title }) => html`<li key=${to}>
            <a href=${linkTo(["access", ...(to ? [to] : [])])} aria-current=${(to === "audit") === isAudit ? "page" : null}>${title}</a>
          </li>`,
        )}
      </ul></nav>
      ${isAudit ? html`<${AuditLog} query=${query} />` : html`<${Keys} />`}
    </div>
  `;
}
