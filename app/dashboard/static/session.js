/** Knows the caller: nobody yet, an operator with a session, or anybody on a server without keys. */

import { computed, signal } from "@preact/signals";

/** @typedef {import("agentq-client").Schemas["SessionView"]} SessionView */
/** @typedef {"submit" | "read" | "control" | "admin" | "metrics"} Scope */

const NO_CONTENT = 204;

/** The address of the API, which is above the dashboard's. */
export const API_URL = new URL("..", location.href.replace(/[?#].*/s, "")).href.replace(/\/$/, "");

/**
 * The session. `view` is null for callers who have to sign in; `ended` tells that they were signed in before.
 * @type {import("@preact/signals").Signal<{ isKnown: boolean, view: SessionView | null, ended: boolean }>}
 */
export const session = signal(/** @type {any} */ ({ isKnown: false, view: null, ended: false }));

/** Whether a new key is shown. It may be the first one, which ends the access without a key: it must not be covered. */
export const isSecretShown = signal(false);

/** Whether to ask for a credential. What is on the page stays there meanwhile. */
export const isSignInNeeded = computed(() => session.value.isKnown && session.value.view === null && !isSecretShown.value);

/**
 * Return whether the caller may do what needs the scope.
 * @param {Scope} scope
 */
export function may(scope) {
  return session.value.view?.scopes.includes(scope) ?? false;
}

/** @param {SessionView | null} view */
export function setSession(view) {
  session.value = { isKnown: true, view, ended: view === null && session.value.view !== null };
}

/**
 * Send a request of the page with what a session needs. It is the `fetch` of the client.
 * @param {RequestInfo | URL} input
 * @param {RequestInit} [init]
 */
export async function fetchWithSession(input, init = {}) {
  const headers = new Headers(init.headers);
  const token = session.value.view?.csrf_token;
  if (token) headers.set("X-CSRF-Token", token);
  const response = await fetch(input, { ...init, headers, credentials: "same-origin" });
  if (response.status === 401) setSession(null);
  const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
  if (isStream || response.status < 200 || response.status === NO_CONTENT) return response;
  // Chromium tells of many a reply that is read by pieces that it was aborted, though it was read to its end.
  return new Response(await response.text(), response);
}
