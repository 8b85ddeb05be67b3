/** The client of the server, which is the dashboard's only way to it. */

import { AgentQOperator } from "agentq-client/operators";

import { forgetDrafts } from "./drafts.js";
import { API_URL, fetchWithSession, session, setSession } from "./session.js";

export const client = new AgentQOperator(API_URL, { fetch: fetchAsPresentCaller });

const FORBIDDEN = 403;
const SIGNED_OUT = "signed out";

/** Tells the other pages of the browser that somebody has signed in or out: they share the cookie. */
const SIGN_INS = `agentq-session ${API_URL}`;
addEventListener("storage", ({ key, newValue }) => {
  if (key !== SIGN_INS || newValue === null) return;
  if (newValue.startsWith(SIGNED_OUT)) beginAnew();
  else void findSession().catch(() => undefined); // the next request that is refused asks again
});

/** @param {string} what  is told to the other pages, also by a page that is left at once */
function tellPages(what) {
  try {
    localStorage.setItem(SIGN_INS, `${what} ${Date.now()}`);
  } catch {
    // A browser may forbid storage. The others learn of it by their next request.
  }
}

/** The owner of the data on the page: a tenant's, or those of an end user. Null before the first answer. @type {string | null} */
let owner = null;

/**
 * Ask the server who the caller is. Throws AgentQError if it does not answer. If the caller sees other data than the one
 * before, the page begins anew: nothing of the one before stays on it.
 */
export async function findSession() {
  try {
    const view = /** @type {import("./session.js").SessionView} */ ((await client.request("GET", "/session")).json());
    const present = JSON.stringify([view.tenant, view.subject]);
    if (owner !== null && owner !== present) return beginAnew();
    owner = present;
    setSession(view);
  } catch (error) {
    if (!isRefusal(error)) throw error; // a refusal has set the session already
  }
}

function beginAnew() {
  forgetDrafts();
  location.reload();
}

/**
 * Send a request, and once more if it was refused because another page of the browser has signed in meanwhile.
 * @param {RequestInfo | URL} input
 * @param {RequestInit} [init]
 */
async function fetchAsPresentCaller(input, init) {
  const response = await fetchWithSession(input, init);
  const proof = session.peek().view?.csrf_token;
  if (response.status !== FORBIDDEN || !proof || input === `${API_URL}/session`) return response;
  await findSession().catch(() => undefined);
  return session.peek().view?.csrf_token === proof ? response : fetchWithSession(input, init);
}

/**
 * Begin a session. Throws AgentQError if the credential is refused.
 * @param {string} credential  an API key or a token of the identity provider
 */
export async function signIn(credential) {
  await client.request("POST", "/session", { body: { credential } });
  tellPages("signed in");
  await findSession();
}

/** End the session, and leave nothing of it on the page. Throws AgentQError if the server does not answer. */
export async function signOut() {
  await client.request("DELETE", "/session");
  tellPages(SIGNED_OUT);
  beginAnew();
}

/** @param {unknown} error */
function isRefusal(error) {
  return Object(error).status === 401;
}
