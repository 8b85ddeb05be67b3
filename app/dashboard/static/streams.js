/**
 * How many streams the pages of this browser have open together. Without HTTP/2, a browser opens six connections to a
 * server for all its pages: if all of them were streams, no request could be sent any more.
 */

/** Streams of all pages together. The other connections are left to requests. */
const MOST = 4;

/** Streams of one page where pages cannot count together, as with plain HTTP to another host. */
const MOST_OF_PAGE = 2;

let ofPage = 0;

/** Return a function that tells of the stream's end, or null if no stream may be opened now. */
export async function takeStream() {
  if (hasManyStreams()) return () => undefined;
  if (!navigator.locks) return takeOfPage();
  for (let place = 0; place < MOST; place++) {
    const leave = await lock(`agentq-stream-${place}`);
    if (leave !== null) return leave;
  }
  return null;
}

/** Return whether one connection carries many streams, as with HTTP/2. */
function hasManyStreams() {
  const [page] = /** @type {PerformanceNavigationTiming[]} */ (performance.getEntriesByType("navigation"));
  return page !== undefined && /^h[23]/.test(page.nextHopProtocol);
}

function takeOfPage() {
  if (ofPage >= MOST_OF_PAGE) return null;
  ofPage++;
  return () => void ofPage--;
}

/** Return a function that ends the lock, or null if another stream has it. @param {string} name @returns {Promise<(() => void) | null>} */
function lock(name) {
  return new Promise((resolve) => {
    /** @param {Lock | null} held */
    const hold = (held) => (held === null ? resolve(null) : new Promise((leave) => resolve(() => leave(undefined))));
    navigator.locks.request(name, { ifAvailable: true }, hold).catch(() => resolve(null));
  });
}
