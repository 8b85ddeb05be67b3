// BullMQ's callers, for the rounds of ../callers.py.
import dgram from "node:dgram";
import readline from "node:readline";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Queue } from "bullmq";

const GAP_MILLISECONDS = 20;
const url = new URL(process.env.QUEUE_URL);
const queue = new Queue("jobs", { connection: { host: url.hostname, port: Number(url.port) } });
const socket = dgram.createSocket("udp4");
const waiting = new Map();
let last = 0;

socket.on("message", (data) => {
  const number = Number(data);
  waiting.get(number)?.();
  waiting.delete(number);
});
socket.bind(0, "127.0.0.1");
await once(socket, "listening");
const { port } = socket.address();

async function call() {
  const number = ++last;
  const told = new Promise((resolve) => waiting.set(number, resolve));
  await queue.add("noop", `${port} ${number}`);
  await told;
}

async function round(callers, seconds) {
  const took = [];
  const began = performance.now();
  const caller = async () => {
    for (let at = performance.now(); at < began + seconds * 1000; at = performance.now()) {
      await call();
      took.push(performance.now() - at);
      if (callers === 1) await sleep(GAP_MILLISECONDS);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const elapsed = (performance.now() - began) / 1000;
  took.sort((one, other) => one - other);
  return { per_second: took.length / elapsed, p50_ms: took[Math.floor(took.length / 2)] };
}

await call();
console.log("ready");
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [callers, seconds] = line.split(" ").map(Number);
  console.log(JSON.stringify(await round(callers, seconds)));
}
process.exit(0);
