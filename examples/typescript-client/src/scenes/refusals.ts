/** What must not work, and must say why. */

import { randomUUID } from "node:crypto";

import { APIError, type Priority } from "agentq-client";

import { type Demo, isText } from "./common.js";
import { remove } from "./queue.js";

export async function refusals(demo: Demo): Promise<void> {
  const { client, signal, submissions } = demo;
  const nobody = randomUUID();
  const finished = submissions.find(({ status }) => status?.state === "completed");
  await expectProblem(demo, "status of an unknown message", 404, () =>
    client.status(nobody, { signal }),
  );
  await expectProblem(demo, "cancelling an unknown message", 404, () =>
    remove(client, nobody, signal),
  );
  await expectProblem(demo, "stream of an unknown message", 404, () =>
    client.follow(nobody, { signal }).untilDone(),
  );
  await expectProblem(demo, "an unknown thread", 404, () => client.threads.get(nobody, { signal }));
  await expectProblem(demo, "a priority that does not exist", 422, () =>
    client.submit("Hello.", { priority: "urgent" as Priority }, { signal }),
  );
  if (!demo.out.check(finished !== undefined, "there is a finished message") || !finished) return;
  await expectProblem(demo, "cancelling a finished message", 409, () =>
    remove(client, finished.reply.message_id, signal),
  );
}

async function expectProblem(
  { out, exchanges }: Demo,
  what: string,
  status: number,
  call: () => Promise<unknown>,
): Promise<void> {
  let answer: unknown;
  try {
    answer = await call();
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    const { problem } = error;
    const type = exchanges.at(-1)?.headers.get("Content-Type") ?? "";
    out.field("code", error.code);
    out.field("detail", problem.detail);
    out.check(error.status === status, `${what} gives ${status}`, error.status);
    out.check(
      type.startsWith("application/problem+json") &&
        isText(error.code) &&
        isText(problem.type) &&
        isText(problem.title) &&
        isText(problem.detail) &&
        problem.status === status,
      "as a complete problem, with a code",
      { "Content-Type": type, ...problem },
    );
    return;
  }
  out.check(false, `${what} gives ${status}`, answer);
}
