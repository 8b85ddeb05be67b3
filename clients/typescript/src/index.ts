/**
 * The TypeScript client of the Agent Queue System. `AgentQ` submits messages, follows their answers and controls them.
 * Data of requests and replies have the names of the API.
 */

export { AgentQ } from "./client.js";
export type { RunOptions } from "./client.js";
export { AnswerText } from "./core/answer-text.js";
export type { Reply } from "./core/replies.js";
export type { CallOptions, ClientOptions, RequestOptions, SubmitOptions } from "./core/requests.js";
export * from "./errors.js";
export { isTerminal } from "./events.js";
export type * from "./events.js";
export type * from "./models.js";
export type { Pages } from "./pages.js";
export { isReplayed, replyOf } from "./reading.js";
export { MessageStream } from "./stream.js";
export type { FollowOptions } from "./stream.js";
export { WebhookRefused, verifyWebhook } from "./webhooks.js";
export type { Webhook, WebhookOptions } from "./webhooks.js";
