// BullMQ's worker: the no-op job tells its caller by one datagram that it ran, see ../signals.py.
import dgram from "node:dgram";
import { Worker } from "bullmq";

const url = new URL(process.env.QUEUE_URL);
const socket = dgram.createSocket("udp4");

new Worker(
  "jobs",
  async (job) => {
    const [port, number] = job.data.split(" ");
    socket.send(number, Number(port), "127.0.0.1");
  },
  { connection: { host: url.hostname, port: Number(url.port) } },
);
