// A way to a server that can be cut while bytes are on it.
import net from "node:net";

const sockets = new Set();

/** The address of a way to the server at this address. */
export function way_to(url) {
  const { hostname, port } = new URL(url);
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => (near.destroy(), far.destroy(), sockets.delete(socket)));
    }
    near.pipe(far).pipe(near);
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(`http://127.0.0.1:${server.address().port}`)));
}

/** Cut all ways. */
export const cut = () => sockets.forEach((socket) => socket.resetAndDestroy());
