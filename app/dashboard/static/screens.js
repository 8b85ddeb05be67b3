/** The screens. The code of each is loaded when it is first shown. */

import { AttentionCount } from "./attention.js";

/**
 * @typedef {object} ScreenProps
 * @property {string[]} parts  of the place, after the screen's own name
 * @property {URLSearchParams} query
 */

/**
 * @typedef {object} Screen
 * @property {string} title
 * @property {string} [key]  goes there after `g`; screens without it are reached from others
 * @property {string} [shape]  of its icon, drawn in 16 by 16
 * @property {string} [under]  the screen that the navigation marks while this one is shown
 * @property {import("./session.js").Scope} scope  that it needs to show anything
 * @property {() => Promise<{ default: import("preact").FunctionComponent<ScreenProps> }>} load
 * @property {import("preact").FunctionComponent} [badge]  shown beside the title in the navigation
 */

/** @type {Record<string, Screen>} */
export const SCREENS = {
  pulse: {
    title: "Pulse",
    key: "p",
    shape: "M1 8h3l2-5 4 10 2-5h3",
    scope: "read",
    load: () => import("./screens/pulse.js"),
  },
  messages: {
    title: "Messages",
    key: "m",
    shape: "M2 3h12v8H7l-3 3v-3H2z",
    scope: "read",
    load: () => import("./screens/messages.js"),
  },
  threads: {
    title: "Threads",
    key: "t",
    shape: "M3 3h10M3 8h10M3 13h6",
    scope: "read",
    load: () => import("./screens/threads.js"),
  },
  play: {
    title: "Play",
    key: "c",
    shape: "M4 2.5l9 5.5-9 5.5z",
    scope: "read",
    load: () => import("./screens/play.js"),
  },
  message: { title: "Message", under: "messages", scope: "read", load: () => import("./screens/message.js") },
  attention: {
    title: "Needs a person",
    key: "n",
    shape: "M8 2a3 3 0 1 1 0 6 3 3 0 0 1 0-6zM2 15c0-3 2.5-5 6-5s6 2 6 5",
    scope: "read",
    load: () => import("./screens/attention.js"),
    badge: AttentionCount,
  },
  access: {
    title: "Access",
    key: "a",
    shape: "M8 8a3 3 0 1 1-6 0a3 3 0 0 1 6 0h6.5M12 8v3",
    scope: "admin",
    load: () => import("./screens/access.js"),
  },
  workers: {
    title: "Workers",
    key: "w",
    shape: "M2 2h12v5H2zM2 9h12v5H2zM4.5 4.5h1M4.5 11.5h1",
    scope: "admin",
    load: () => import("./screens/workers.js"),
  },
  usage: {
    title: "Usage",
    key: "u",
    shape: "M2 14h12M4 14V9M8 14V3M12 14V6",
    scope: "read",
    load: () => import("./screens/usage.js"),
  },
  settings: {
    title: "Settings",
    key: "s",
    shape: "M2 4h7m4 0h1M2 12h1m4 0h7M11 2v4M5 10v4",
    scope: "read",
    load: () => import("./screens/settings.js"),
  },
};

/** The screen that is shown first. */
export const FIRST = "pulse";
