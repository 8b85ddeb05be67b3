import { randomUUID } from "node:crypto";

import type { Accepted, Message, Priority } from "agentq-client";
import type { AgentQOperator } from "agentq-client/operators";

import type { StreamAudit } from "../audit.js";
import type { Console } from "../console.js";

export interface Exchange {
  method: string;
  path: string;
  status: number;
  headers: Headers;
}

/** A message this demo has sent, and what became of it. */
export interface Submission {
  name: string;
  text: string;
  priority: Priority;
  threadId: string | null;
  reply: Accepted;
  audit: StreamAudit;
  status?: Message;
}

export interface Demo {
  client: AgentQOperator;
  /** The same server, without a line of output per call. */
  quietClient: AgentQOperator;
  apiKey?: string;
  fetch: typeof fetch;
  out: Console;
  signal: AbortSignal;
  exchanges: Exchange[];
  submissions: Submission[];
}

export type Scene = (demo: Demo) => Promise<void>;

/** Told apart from earlier runs against the same server by this. */
export const RUN = randomUUID();
export const CONVERSATION = `ts-demo-${RUN}`;
/** Any string will do as a thread id, so take one that a careless path would trip over. */
export const AWKWARD_THREAD = `ts-demo/100% #${RUN}?é`;

const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

export const isCount = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0;
export const isText = (value: unknown): value is string =>
  typeof value === "string" && value !== "";
export const isTimestamp = (value: unknown): boolean => isText(value) && TIMESTAMP.test(value);
