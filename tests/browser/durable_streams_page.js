// Reads a stream in one of two ways, and keeps what it has read, so that it goes on there when it is loaded again.
import { stream } from "@durable-streams/client";

const { url, by } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const kept = JSON.parse(localStorage.getItem(by) ?? '{"ids":[],"offset":"-1"}');
const shown = document.getElementById("page");

const keep = (events, offset) => {
  kept.ids.push(...events.map((event) => event.id));
  kept.offset = offset;
  localStorage.setItem(by, JSON.stringify(kept));
  shown.dataset.count = kept.ids.length;
};
const end = () => (shown.dataset.ended = JSON.stringify(kept.ids));

shown.dataset.began = kept.ids.length;
if (by === "event-source") {
  const source = new EventSource(`${url}?offset=${encodeURIComponent(kept.offset)}&live=sse`);
  source.addEventListener("data", ({ data, lastEventId }) => keep(JSON.parse(data), lastEventId));
  source.addEventListener("control", ({ data }) => {
    if (!JSON.parse(data).streamClosed) return;
    source.close();
    end();
  });
} else {
  read();
}

async function read() {
  let closed = false;
  while (!closed) {
    try {
      const response = await stream({ url, offset: kept.offset, live: by, warnOnHttp: false });
      response.subscribeJson((batch) => {
        keep(batch.items, batch.offset);
        closed ||= batch.streamClosed;
      });
      await response.closed;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50)); // cut off
    }
  }
  end();
}
