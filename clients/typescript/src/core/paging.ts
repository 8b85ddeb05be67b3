/** The way from one page of a list to the next one. */

import { UnexpectedReply } from "../errors.js";
import type { Reply } from "./replies.js";
import { targetOf, type Call } from "./requests.js";

/** Return the call of the page after a reply, null after the last page. `page` has the entries of the reply. */
export type NextCall = (call: Call, reply: Reply, page: readonly unknown[]) => Call | null;

/**
 * Return a function that follows the links of pages. It takes only the query from a link, so that the key is never sent to
 * another address. It throws UnexpectedReply for a link to a page that was read already, so that each list has an end.
 */
export function byLinks(): NextCall {
  const read = new Set<string>();
  return (call, reply) => {
    read.add(targetOf(call));
    const link = /<([^>]*)>[^,]*rel="next"/.exec(reply.headers.get("link") ?? "")?.[1];
    if (link === undefined) return null;
    const query: Record<string, string[]> = {};
    for (const [name, value] of new URLSearchParams(link.replace(/^[^?]*|#.*/g, ""))) (query[name] ??= []).push(value);
    const next = { ...call, query };
    if (!read.has(targetOf(next))) return next;
    const what = `The next page of ${call.path} was read already.`;
    throw new UnexpectedReply(what, { requestId: reply.requestId });
  };
}
