/** The start of the dashboard. */

import { render } from "preact";

import { html } from "./html.js";
import { Shell } from "./shell.js";
import { applyTheme } from "./theme.js";

applyTheme();
render(html`<${Shell} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
