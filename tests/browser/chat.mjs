// Uses Agent Chat UI in Chromium: `node chat.mjs PAGE CHAT_API AGENTS_API FOLDER`. It prints what it saw as
// JSON, and takes pictures. The first server has the embedded model, the second one the agents of `agents.py`.
import chromium from "@sparticuz/chromium";
import { chromium as playwright } from "playwright-core";

const [, , page_url, chat_api, agents_api, folder] = process.argv;
const executablePath = process.env.CHROMIUM ?? (await chromium.executablePath());
const options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
const browser = await playwright.launch({ executablePath, args: [...options, "--disable-background-networking"] });
const context = await browser.newContext({ locale: "en-US", viewport: { width: 1200, height: 900 } });
const saw = { errors: [], requests: {} };

async function open(assistant, api = agents_api) {
  const page = await context.newPage();
  page.on("console", (message) => {
    const of_page = message.location().url.startsWith(page_url) && message.text().includes("404"); // its favicon
    if (message.type() === "error" && !of_page) saw.errors.push(`${assistant}: ${message.text()}`);
  });
  page.on("response", (response) => {
    if (!response.url().startsWith(api)) return;
    const path = response.url().slice(api.length).replace(/[0-9a-f-]{36}/g, "ID");
    saw.requests[`${response.request().method()} ${path}`] = response.status();
  });
  await page.goto(`${page_url}/?apiUrl=${encodeURIComponent(api)}&assistantId=${assistant}`);
  await page.waitForSelector("textarea");
  return page;
}

async function say(page, text) {
  await page.locator("textarea").last().fill(text);
  await page.keyboard.press("Enter");
}

const conversation = async (page) => (await page.locator("body").innerText()).split("New thread").at(-1);
const picture = (page, name) => page.screenshot({ path: `${folder}/${name}.png` });
const idle = (page) => page.waitForSelector("button:has-text('Send')", { timeout: 60_000 });

// A chat with the embedded model, over two turns.
let page = await open("chat", chat_api);
await say(page, "What is the capital of France?");
await idle(page);
await say(page, "And of Italy?");
await page.waitForSelector("text=And of Italy?");
await idle(page);
saw.chat = await conversation(page);
await picture(page, "chat");
await page.reload();
await page.waitForSelector("text=And of Italy?");
await page.waitForTimeout(1_000);
saw.reloaded = (await conversation(page)) === saw.chat;

// A tool call.
page = await open("tools");
await say(page, "Where?");
await page.waitForSelector("text=It is Paris.");
saw.tool = (await conversation(page)).includes("capital of France");
await picture(page, "tool");

// An approval.
page = await open("asks");
await say(page, "Clean up");
const accept = page.locator("button:has-text('Accept')").first();
await accept.waitFor({ timeout: 30_000 });
await picture(page, "question");
await accept.click();
await page.waitForSelector("text=The human said: accept.");
await picture(page, "approval");

// A reload while the answer is written. The page asks for the run to be cancelled when it leaves, and goes on with the next.
page = await open("writes");
await say(page, "Write");
await page.waitForSelector("text=word5");
await picture(page, "writing");
await page.reload();
await page.waitForSelector("text=word3");
await picture(page, "reloaded");
saw.before = (await conversation(page)).match(/word\d+/g);
await page.waitForTimeout(8_000); // the server waits 5 s for readers that come back
await page.reload();
await page.waitForSelector("text=word3");
saw.cancelled = (await conversation(page)).match(/word\d+/g);
await say(page, "Write again");
await page.waitForSelector("text=word59", { timeout: 60_000 });
await idle(page);
saw.again = (await conversation(page)).split("Write again").at(-1).match(/word\d+/g);
await picture(page, "written");

// The history of the agent's threads.
page = await open("tools");
await page.goto(`${page.url()}&chatHistoryOpen=true`);
await page.waitForSelector("text=Where?");
await page.waitForTimeout(1_000); // the list slides in
saw.threads = true;
await picture(page, "threads");
console.log(JSON.stringify(saw));
await browser.close();
