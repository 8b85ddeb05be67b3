// Follows a stream with the protocol's client: `node follow.mjs URL MODE` prints the ids of all events as JSON.
// A connection that breaks is opened again with the offset of the last batch, as the client's documentation says.
import { stream } from "@durable-streams/client";

const [, , url, live] = process.argv;
const backoffOptions = { initialDelay: 1, maxDelay: 20, multiplier: 1.3 };
const saw = { ids: [], offsets: [], breaks: 0 };
let offset = "-1";
let closed = false;
while (!closed) {
  try {
    const response = await stream({ url, offset, live, backoffOptions, warnOnHttp: false });
    response.subscribeJson((batch) => {
      saw.ids.push(...batch.items.map((event) => event.id));
      if (batch.items.length) saw.offsets.push(batch.offset);
      offset = batch.offset;
      closed ||= batch.streamClosed;
    });
    await response.closed;
  } catch {
    saw.breaks += 1;
  }
}
console.log(JSON.stringify(saw));
