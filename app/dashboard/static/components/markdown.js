/**
 * The answer of an agent as formatted text. It is hostile until proven otherwise: no script, no style, no id, no form, no
 * image of another server, which would tell that server what the answer says; and links show where they lead.
 */

import { useSignal } from "@preact/signals";
import DOMPurify from "dompurify";
import { Marked } from "marked";
import { Component } from "preact";
import { useEffect, useRef } from "preact/hooks";

import { html } from "../html.js";
import { Blocks } from "./markdown-blocks.js";

const marked = new Marked({ gfm: true, breaks: false });

const ALLOWED = {
  ALLOWED_TAGS: [
    "a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "img", "input", "li", "ol", "p",
    "pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
  ],
  ALLOWED_ATTR: ["href", "src", "alt", "title", "align", "start", "type", "checked", "disabled"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_TRUSTED_TYPE: true,
};

const OWN_IMAGE = /^data:image\/(png|jpeg|gif|webp);base64,/i;
const WEB_LINK = /^(https?|mailto):/i;

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName === "IMG" && !OWN_IMAGE.test(node.getAttribute("src") ?? "")) {
    const said = node.getAttribute("alt") || node.getAttribute("src") || "";
    node.replaceWith(document.createTextNode(`[image: ${said}]`));
  } else if (node.tagName === "A") {
    guard(node);
  } else if (node.tagName === "INPUT" && node.getAttribute("type") !== "checkbox") {
    node.remove();
  }
});

/** Have a link open beside the page and name its host, unless its text does. @param {Element} link */
function guard(link) {
  const address = link.getAttribute("href") ?? "";
  if (!WEB_LINK.test(address)) {
    link.removeAttribute("href");
    return;
  }
  link.setAttribute("target", "_blank");
  link.setAttribute("rel", "noopener noreferrer nofollow");
  const host = hostOf(address);
  if (host && link.textContent !== address) link.append(` (${host})`);
}

/** @param {string} address */
function hostOf(address) {
  try {
    return new URL(address).host;
  } catch {
    return "";
  }
}

/** Blocks of more characters are shown as they were written. To format them takes too long for one frame. */
const LARGE = 20_000;

/** How such a block is cut, so that the page lays out only its end again while it grows. */
const PIECE = 4_000;

/**
 * Show a text that may still grow. Only its end is read anew then, and a long text is shown over several frames.
 * @param {{ text: string }} props
 */
export function Markdown({ text }) {
  const blocks = useRef(/** @type {Blocks | null} */ (null));
  const known = (blocks.current ??= new Blocks());
  const frames = useSignal(0);
  void frames.value;
  const takenAt = useRef(/** @type {CSSNumberish | null} */ (null));
  const frame = document.timeline.currentTime; // the same for all that happens within a frame
  if (frame === null || takenAt.current !== frame) known.take(text);
  takenAt.current = frame;
  const { raws } = known;
  useEffect(() => {
    if (known.isComplete(text)) return undefined;
    const planned = requestAnimationFrame(() => frames.value++);
    return () => cancelAnimationFrame(planned);
  });
  return html`<div class="markdown">${raws.map((raw, at) => (raw.length > LARGE ? html`<${Plain} key=${at} raw=${raw} />` : html`<${Block} key=${at} raw=${raw} />`))}</div>`;
}

/** A block is rendered once: hundreds of finished ones stand above the one that grows. @extends {Component<{ raw: string }>} */
class Block extends Component {
  /** @param {{ raw: string }} next */
  shouldComponentUpdate(next) {
    return next.raw !== this.props.raw;
  }

  render() {
    const body = DOMPurify.sanitize(/** @type {string} */ (marked.parse(this.props.raw)), ALLOWED);
    return html`<div dangerouslySetInnerHTML=${{ __html: body }}></div>`;
  }
}

/** @param {{ raw: string }} props */
function Plain({ raw }) {
  const pieces = Array.from({ length: Math.ceil(raw.length / PIECE) }, (_, at) => raw.slice(at * PIECE, (at + 1) * PIECE));
  return html`<div class="large">${pieces.map((piece, at) => html`<div key=${at}>${piece}</div>`)}</div>`;
}
