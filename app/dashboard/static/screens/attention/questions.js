/** The agents that wait for an answer, with the form for it. */

import { client } from "../../client.js";
import { AnswerForm } from "../../components/answer-form.js";
import { Moment } from "../../components/moment.js";
import { Problem } from "../../components/problem.js";
import { Hidden, isHidden, listed } from "../../hiding.js";
import { html } from "../../html.js";
import { useReloads } from "../../attention.js";
import { tell } from "../../notes.js";
import { usePages } from "../../paging.js";
import { linkTo } from "../../router.js";

const PAGE = 20;

export function Questions() {
  const list = usePages((signal) => client.messages({ state: "interrupted", limit: PAGE }, { signal }), []);
  useReloads(() => void list.reload(), ["interrupted"]);
  /** @param {string} text */
  const answered = (text) => {
    tell(`Answered. “${text}” goes on.`);
    void list.reload();
  };
  return html`<section class="stack" aria-label="Questions of agents">
    <h2>Questions of agents</h2>
    ${list.error !== null && html`<${Problem} error=${list.error} retry=${list.reload} />`}
    ${list.rows.map(
      (message) => {
        const { message_id: id } = message;
        const title = listed(message.user_message, id);
        return html`<article class="card stack" key=${id}>
        <header class="stack tight">
          <h3><a href=${linkTo(["message", id])}>${isHidden("message", id) ? id : message.user_message}</a></h3>
          <small>
            ${message.agent}, asked by a message of <${Moment} at=${message.created_at} />
            ${message.thread_id !== null && html`${" "}in <a href=${linkTo(["threads", message.thread_id])}>${message.thread_id}</a>`}
            ${message.interrupt_expires_at && html`${" "}· is given up <${Moment} at=${message.interrupt_expires_at} />`}
          </small>
        </header>
        ${isHidden("message", id)
          ? html`<${Hidden} kind="message" ids=${[id]} what="the question and its message" />`
          : html`<${AnswerForm} messageId=${id} questions=${message.interrupts ?? []} label="Answer to ${title}" onAnswered=${() => answered(title)} />`}
      </article>`;
      },
    )}
    ${list.rows.length === 0 && (list.isLoading ? html`<p class="quiet" role="status">Loading…</p>` : list.error === null && html`<p class="quiet">No agent asks anything now.</p>`)}
    ${!list.isComplete && list.rows.length >= PAGE && html`<div class="row"><button onClick=${list.more} disabled=${list.isLoading}>Show more questions</button></div>`}
  </section>`;
}
