/** Threads: the list of them, and one with its messages and the states that its agent keeps. */

import { html } from "../html.js";
import { ThreadList } from "./threads/list.js";
import { ThreadView } from "./threads/thread.js";

/** @param {import("../screens.js").ScreenProps} props */
export default function Threads({ parts, query }) {
  const [threadId] = parts;
  return threadId === undefined ? html`<${ThreadList} query=${query} />` : html`<${ThreadView} key=${threadId} threadId=${threadId} query=${query} />`;
}
