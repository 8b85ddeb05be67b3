/** A server on a socket that plays a transcript of `clients/transcripts`, whatever it is asked. */

import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";

const FOLDER = new URL("../../transcripts/", import.meta.url);

export const MESSAGE_ID = "01a227c4-ab5b-70f4-9af4-a15dc29ebbc5";

const STATUS = {
  message_id: MESSAGE_ID,
  user_message: "Hello",
  priority: "normal",
  agent: "chat",
  result: null,
  created_at: "2026-11-29T10:00:00.000Z",
};

interface Connection {
  hang_up?: boolean;
  status: number;
  headers: Record<string, string>;
  body: (string | { base64: string })[];
  end: "close" | "cut" | "hold";
}

export interface Transcript {
  about: string;
  after: number | null;
  connections: Connection[];
  status?: Record<string, unknown>[];
  expected: {
    last_event_ids: (number | null)[];
    events: (number | string)[];
    positions?: (number | null)[];
    text: string;
    text_stream: string | { before: string; error: string } | null;
    outcome: string;
  };
}

export const TRANSCRIPTS = new Map(
  readdirSync(FOLDER)
    .filter((name) => name.endsWith(".json"))
    .sort()
    .map((name) => [name.slice(0, -5), JSON.parse(readFileSync(new URL(name, FOLDER), "utf8")) as Transcript]),
);

/** Plays the connections in their order, and keeps the `Last-Event-ID` of each request. */
export class ScriptedServer {
  readonly lastEventIds: (number | null)[] = [];
  readonly #connections: Iterator<Connection>;
  readonly #statuses: Record<string, unknown>[];
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((socket) => this.#answer(socket));

  constructor({ connections, status, expected }: Transcript) {
    this.#connections = connections.values();
    this.#statuses = [...(status ?? [{ state: "completed", result: expected.text }])];
  }

  /** Listen on a free port, and return the address. */
  async start(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #answer(socket: Socket): void {
    let head = "";
    this.#sockets.add(socket);
    socket.on("error", () => undefined); // the client has left
    socket.on("data", (piece) => {
      if (head.includes("\r\n\r\n")) return;
      head += piece.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      if (head.split(" ")[1]?.endsWith("/stream")) void this.#play(head, socket);
      else {
        const state = this.#statuses.length > 1 ? this.#statuses.shift() : this.#statuses[0];
        const body = JSON.stringify({ ...STATUS, ...state });
        socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`);
      }
    });
  }

  async #play(head: string, socket: Socket): Promise<void> {
    const seen = /^last-event-id: *(\d+)/im.exec(head)?.[1];
    this.lastEventIds.push(seen === undefined ? null : Number(seen));
    const { value: played, done } = this.#connections.next();
    if (done || played.hang_up) return void socket.destroy();
    const isStream = played.status === 200;
    const headers = { ...played.headers, Connection: "close", ...(isStream && { "Transfer-Encoding": "chunked" }) };
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`HTTP/1.1 ${played.status} Told\r\n${lines.join("")}\r\n`);
    for (const piece of played.body) {
      const bytes = typeof piece === "string" ? Buffer.from(piece) : Buffer.from(piece.base64, "base64");
      const sent = isStream ? [`${bytes.length.toString(16)}\r\n`, bytes, "\r\n"] : [bytes];
      for (const each of sent) socket.write(each);
      await new Promise(setImmediate); // each piece is a packet of its own
    }
    if (played.end === "hold") return; // until the client leaves
    if (played.end === "close" && isStream) socket.write("0\r\n\r\n");
    socket.end();
  }
}
