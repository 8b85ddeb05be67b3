/** The states of a message by what can still happen to it. */

/** Nothing happens to it by itself any more. @type {ReadonlySet<string>} */
export const ENDED = new Set(["completed", "failed", "cancelled"]);

/** It can be cancelled. @type {ReadonlySet<string>} */
export const UNFINISHED = new Set(["queued", "processing", "interrupted"]);
