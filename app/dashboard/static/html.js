/** Templates: `html` makes elements of Preact from tagged templates, so that nothing has to be built. */

import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
