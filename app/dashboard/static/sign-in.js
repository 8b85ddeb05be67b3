/** Signing in with an API key or a token of the identity provider, and out. */

import { useSignal } from "@preact/signals";

import { signIn, signOut } from "./client.js";
import { Dialog } from "./components/dialog.js";
import { html } from "./html.js";
import { attempt, wordsOf } from "./notes.js";
import { session } from "./session.js";

export function SignIn() {
  const problem = useSignal("");
  const isBusy = useSignal(false);
  /** @param {SubmitEvent & { currentTarget: HTMLFormElement }} event */
  const submitted = async (event) => {
    event.preventDefault();
    const credential = String(new FormData(event.currentTarget).get("credential")).trim();
    isBusy.value = true;
    try {
      await signIn(credential);
    } catch (error) {
      problem.value = wordsOf(error);
    } finally {
      isBusy.value = false;
    }
  };
  return html`<${Dialog} title="Sign in">
    <p>
      ${session.value.ended
        ? "Your session has ended. Sign in again to go on; what you typed is still here."
        : "Use an API key, or a token of your identity provider."}
    </p>
    <form class="stack" onSubmit=${submitted}>
      <label for="credential">API key or token</label>
      <input id="credential" name="credential" type="password" autocomplete="current-password" required autofocus
        aria-describedby="sign-in-problem" />
      <p id="sign-in-problem" role="alert">${problem}</p>
      <div class="row"><button class="primary" disabled=${isBusy}>Sign in</button></div>
    </form>
    <p class="quiet">
      A key is made on the server's host by <code>agentq keys create --name operator --scope read --scope control</code>. It is sent
      once, and the browser keeps a session in its place.
    </p>
  </${Dialog}>`;
}

/** The caller, with a button to sign out. */
export function Who() {
  const view = session.value.view;
  if (view === null) return null;
  const leave = () => attempt(() => signOut().then(() => "Signed out."));
  const roles = { admin: "administrator", control: "operator", submit: "may submit", read: "viewer" };
  const role = Object.entries(roles).find(([scope]) => view.scopes.includes(/** @type {any} */ (scope)))?.[1];
  return html`<small class="who" title=${view.actor}>${view.actor}${role && `, ${role}`}</small>
    ${view.csrf_token && html`<button class="plain" onClick=${leave}>Sign out</button>`}`;
}
