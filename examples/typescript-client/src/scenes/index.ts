/** The demo, section by section. Each calls the API as an application would and checks what it saw. */

import type { Scene } from "./common.js";
import {
  cancelQueued,
  health,
  messageStatus,
  queueSummary,
  submitConversation,
  submitWithPriorities,
} from "./queue.js";
import { refusals } from "./refusals.js";
import { replayAndResume, streamAnswers, whoWentFirst } from "./streams.js";
import { threads } from "./threads.js";

export const scenes: ReadonlyArray<readonly [title: string, scene: Scene]> = [
  ["Health", health],
  ["Submitting with priorities", submitWithPriorities],
  ["A conversation in a thread", submitConversation],
  ["Message status", messageStatus],
  ["Queue summary", queueSummary],
  ["Cancelling a queued message", cancelQueued],
  ["Streaming the answers", streamAnswers],
  ["Who went first", whoWentFirst],
  ["Reading a stream again, and resuming one", replayAndResume],
  ["Threads", threads],
  ["Requests that must fail", refusals],
];
