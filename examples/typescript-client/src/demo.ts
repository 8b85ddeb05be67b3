/** Runs the scenes against a server and tells by its exit code whether all was as it should be. */

import { AuthenticationError, PermissionDenied, ServerUnreachable } from "agentq-client";
import { AgentQOperator } from "agentq-client/operators";

import { Console } from "./console.js";
import type { Demo, Exchange } from "./scenes/common.js";
import { scenes } from "./scenes/index.js";

const DEFAULT_URL = "http://localhost:8000";
const DEFAULT_TIMEOUT_SECONDS = 120;

interface Config {
  baseUrl: string;
  apiKey: string | undefined;
  timeoutSeconds: number;
}

function readConfig(env: NodeJS.ProcessEnv): Config {
  const baseUrl = env.AGENT_QUEUE_URL || DEFAULT_URL;
  if (!/^https?:\/\/[^/]/.test(baseUrl)) {
    throw new Error(`AGENT_QUEUE_URL must be an http(s) URL, not "${baseUrl}"`);
  }
  const timeoutSeconds = Number(env.DEMO_TIMEOUT_SECONDS || DEFAULT_TIMEOUT_SECONDS);
  if (!(timeoutSeconds > 0 && timeoutSeconds <= 86_400)) {
    throw new Error(
      `DEMO_TIMEOUT_SECONDS must be a number of seconds, not "${env.DEMO_TIMEOUT_SECONDS}"`,
    );
  }
  return { baseUrl, apiKey: env.AGENT_QUEUE_API_KEY || undefined, timeoutSeconds };
}

function createDemo(config: Config, signal: AbortSignal): Demo {
  const out = new Console();
  const exchanges: Exchange[] = [];
  const recordingFetch: typeof fetch = async (input, init) => {
    const method = init?.method ?? "GET";
    const path = String(input).slice(config.baseUrl.replace(/\/+$/, "").length);
    const startedAt = performance.now();
    const response = await fetch(input, init);
    exchanges.push({ method, path, status: response.status, headers: response.headers });
    out.exchange(method, path, String(response.status), performance.now() - startedAt);
    return response;
  };
  const apiKey = config.apiKey === undefined ? {} : { apiKey: config.apiKey };
  return {
    client: new AgentQOperator(config.baseUrl, { ...apiKey, fetch: recordingFetch }),
    quietClient: new AgentQOperator(config.baseUrl, apiKey),
    ...apiKey,
    fetch: recordingFetch,
    out,
    signal,
    exchanges,
    submissions: [],
  };
}

/** The one line for a server that is not there; undefined when something answered. */
async function unreachable({ quietClient, signal }: Demo): Promise<string | undefined> {
  try {
    await quietClient.server.health({ signal });
  } catch (error) {
    if (error instanceof ServerUnreachable)
      return connectionHint(quietClient.baseUrl, error);
  }
  return undefined;
}

function connectionHint(baseUrl: string, error: ServerUnreachable): string {
  return (
    `Cannot reach the Agent Queue System at ${baseUrl}. ${error.what} ` +
    "Start it with `make run` in the repository's root, or set AGENT_QUEUE_URL."
  );
}

/** False when the rest makes no sense any more: time is up, the server is gone or wants a key. */
async function play(demo: Demo, title: string, scene: (demo: Demo) => Promise<void>) {
  const { out, signal } = demo;
  out.section(title);
  try {
    await scene(demo);
    return true;
  } catch (error) {
    if (signal.aborted) {
      out.check(false, (signal.reason as Error).message);
      return false;
    }
    const cause = error instanceof Error && error.cause ? `, because of ${error.cause}` : "";
    out.check(false, "this section runs to its end", `${error}${cause}`);
    if (error instanceof ServerUnreachable) {
      out.note(connectionHint(demo.client.baseUrl, error));
      return false;
    }
    if (error instanceof AuthenticationError || error instanceof PermissionDenied) {
      out.note("the server serves its own host only, unless it is started with ALLOW_ANONYMOUS=true");
      return false;
    }
    return true;
  }
}

async function main(): Promise<boolean> {
  const config = readConfig(process.env);
  const deadline = new AbortController();
  const timer = setTimeout(() => {
    deadline.abort(new Error(`everything is done within ${config.timeoutSeconds} s`));
  }, config.timeoutSeconds * 1_000);
  try {
    const demo = createDemo(config, deadline.signal);
    const missing = await unreachable(demo);
    if (missing !== undefined) {
      console.error(missing);
      return false;
    }
    demo.out.banner("Agent Queue System: TypeScript demo", {
      server: config.baseUrl,
      "API key": config.apiKey === undefined ? "none" : "from AGENT_QUEUE_API_KEY",
      deadline: `${config.timeoutSeconds} s`,
      "Node.js": process.version,
    });
    for (const [title, scene] of scenes) {
      if (!(await play(demo, title, scene))) break;
    }
    return demo.out.summary();
  } finally {
    clearTimeout(timer);
  }
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
