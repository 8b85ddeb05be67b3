/** The message as a command or a program that submits it again: curl, Python, TypeScript, and the command line. */

/** @typedef {import("agentq-client").MessageDetails} MessageDetails */
/** @typedef {Record<string, unknown>} Body */

/** Fields for which the command line has options. */
const OPTIONS = { thread_id: "--thread", priority: "--priority", agent: "--agent" };

/** Fields of a message that are left out when they are as the server has them by default. @type {readonly (keyof MessageDetails & string)[]} */
const FIELDS = [
  "agent", "thread_id", "context", "metadata", "max_attempts", "timeout", "events", "interrupt_before", "interrupt_after",
  "webhook_url", "webhook_events", "subject",
]; // prettier-ignore

/**
 * Return the request that submits the message again. A checkpoint is left out, since the thread has gone on.
 * @param {MessageDetails} message
 * @returns {Body}
 */
export function bodyOf(message) {
  /** @type {Body} */
  const body = {};
  if (message.message !== null) body.message = message.message;
  else if (message.input !== null) body.input = message.input;
  else if (message.command !== null) body.command = message.command;
  else if (message.continue) body.continue = true;
  for (const name of FIELDS) if (!isEmpty(message[name])) body[name] = message[name];
  if (message.priority !== "normal") body.priority = message.priority;
  const config = Object.fromEntries(Object.entries(message.config).filter(([, value]) => !isEmpty(value)));
  if (!isEmpty(config)) body.config = config;
  return body;
}

/** @param {unknown} value */
function isEmpty(value) {
  return value === null || value === undefined || (typeof value === "object" && Object.keys(/** @type {object} */ (value)).length === 0);
}

/** @typedef {{ title: string, make: (body: Body, url: string, hasKey: boolean) => string }} Sample */

/** @type {readonly Sample[]} */
export const SAMPLES = [
  { title: "curl", make: curl },
  { title: "Python", make: python },
  { title: "TypeScript", make: typescript },
  { title: "Command line", make: commandLine },
];

/** @param {string} text */
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** @type {Sample["make"]} */
function curl(body, url, hasKey) {
  const key = hasKey ? ' \\\n  -H "Authorization: Bearer $AGENTQ_API_KEY"' : "";
  return `curl -sS ${quoted(`${url}/messages`)} \\\n  -H 'Content-Type: application/json'${key} \\\n  -d ${quoted(JSON.stringify(body))}`;
}

/** @type {Sample["make"]} */
function commandLine(body, url, hasKey) {
  const { message, input, ...others } = body;
  if (message !== undefined && typeof message !== "string") return "# The command line takes texts. Use one of the others for content blocks.";
  if (message === undefined && input === undefined) return "# The command line takes texts and inputs. Use one of the others for this message.";
  const parts = [`agentq submit --wait --url ${quoted(url)}`];
  const lost = [];
  for (const [name, value] of Object.entries(others)) {
    const option = /** @type {Record<string, string>} */ (OPTIONS)[name];
    if (option) parts.push(`${option}=${quoted(String(value))}`);
    else lost.push(name);
  }
  if (input !== undefined) parts.push(`--input=${quoted(JSON.stringify(input))}`);
  if (typeof message === "string") parts.push(`-- ${quoted(message)}`);
  const notes = [hasKey && "# AGENTQ_API_KEY has the key.", lost.length > 0 && `# The command has no options for: ${lost.join(", ")}.`];
  return [...notes.filter(Boolean), parts.join(" \\\n  ")].join("\n");
}

/** @type {Sample["make"]} */
function python(body, url, hasKey) {
  const { message, ...others } = body;
  const given = [
    ...(message === undefined ? [] : [pythonValue(message)]),
    ...(Object.keys(others).length === 0 ? [] : Object.entries(others).map(([name, value]) => (name === "continue" ? `**{"continue": True}` : `${name}=${pythonValue(value)}`))),
  ];
  const key = hasKey ? "  # AGENTQ_API_KEY has the key" : "";
  return `from agentq_client import AgentQ\n\nclient = AgentQ(${pythonValue(url)})${key}\nmessage = client.run(\n${given.map((each) => `    ${each},\n`).join("")})\nprint(message.result)`;
}

/** @param {unknown} value @returns {string} */
function pythonValue(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonValue).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${pythonValue(each)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}

/** @type {Sample["make"]} */
function typescript(body, url, hasKey) {
  const { message = null, ...others } = body;
  const fields = Object.keys(others).length === 0 ? "" : `, ${JSON.stringify(others, null, 2)}`;
  const key = hasKey ? " // AGENTQ_API_KEY has the key" : "";
  return `import { AgentQ } from "agentq-client";\n\nconst client = new AgentQ(${JSON.stringify(url)});${key}\nconst { result } = await client.run(${JSON.stringify(message)}${fields});\nconsole.log(result);`;
}
