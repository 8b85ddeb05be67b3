// Uses the generated types as a caller would. The compiler checks that each event is told from the others by its type.
// Reads the reply of GET /messages/{message_id}/events, then one parsed event of a stream a line; tells each in a line.

import { readFileSync } from "node:fs";
import type { components, paths } from "./api.js";

type Events = paths["/messages/{message_id}/events"]["get"]["responses"][200]["content"]["application/json"];
type StreamEvent = components["schemas"]["StreamEvent"];

function tell(event: StreamEvent): string {
  // @ts-expect-error which data there are is known once the type is
  event.data.result;
  switch (event.type) {
    case "waiting":
      return `waiting ${event.data.position}`;
    case "reset":
      return `reset ${event.data.text}`;
    case "processing":
      return `processing ${event.data.attempt}`;
    case "version":
      return `version ${event.data.from} ${event.data.to}`;
    case "chunk":
      return `chunk ${tellChunk(event.data)}`;
    case "retry":
      return `retry ${event.data.attempt} ${event.data.discard_from}`;
    case "interrupted":
      return `interrupted ${event.data.interrupts[0]?.id}`;
    case "resumed":
      return `resumed ${event.data.discard_from}`;
    case "custom":
      return `custom ${JSON.stringify(event.data.data)}`;
    case "node":
      return `node ${event.data.node} ${event.data.state}`;
    case "values":
      return `values ${Object.keys(event.data.values as object).sort()[0]}`;
    case "updates":
      return `updates ${Object.keys(event.data.updates ?? {}).sort()[0]}`;
    case "messages":
      return `messages ${event.data.messages === null ? "" : Object.keys(event.data.messages).sort()[0]}`;
    case "tasks":
      return `tasks ${Object.keys(event.data.tasks ?? {}).sort()[0]}`;
    case "checkpoints":
      return `checkpoints ${Object.keys(event.data.checkpoints ?? {}).sort()[0]}`;
    case "debug":
      return `debug ${Object.keys(event.data.debug ?? {}).sort()[0]}`;
    case "usage":
      return `usage ${Object.keys(event.data.models).sort()[0]}`;
    case "done":
      return `done ${event.data.result}`;
    case "error":
      return `error ${event.data.code}`;
    case "cancelled":
      return `cancelled ${event.data.state}`;
    default:
      return never(event);
  }
}

function tellChunk(data: components["schemas"]["ChunkData"]): string {
  switch (data.type) {
    case "content":
    case "reasoning":
      return `${data.type} ${data.chunk}`;
    case "tool_call":
      return `tool_call ${data.chunk.name} ${Object.keys(data.chunk.args).sort()[0]}`;
    case "tool_result":
      return `tool_result ${data.chunk.content}`;
    case "discard":
      return `discard ${data.kept} ${data.discard_from}`;
    default:
      return never(data);
  }
}

function never(value: never): never {
  throw new Error(`unknown: ${JSON.stringify(value)}`);
}

const [stored, ...streamed] = readFileSync(0, "utf-8").split("\n").filter((line) => line !== "");
for (const event of (JSON.parse(stored ?? "") as Events).events) console.log(tell(event));
for (const line of streamed) console.log(tell(JSON.parse(line) as StreamEvent));
