// Uses the page of `use_chat_page.jsx` in Chromium: `node use_chat.mjs PAGE MODEL AGENTS FOLDER`. It prints what it saw as
// JSON, and takes pictures. The first server has the embedded model, the second one the agents of `agents.py`.
import chromium from "@sparticuz/chromium";
import { chromium as playwright } from "playwright-core";
import { cut, way_to } from "./way.mjs";

const [, , page_url, model, agents, folder] = process.argv;
const executablePath = process.env.CHROMIUM ?? (await chromium.executablePath());
const options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
const browser = await playwright.launch({ executablePath, args: [...options, "--disable-background-networking"] });
const context = await browser.newContext({ locale: "en-US", viewport: { width: 1000, height: 760 } });
const saw = { errors: [] };

const [model_way, agents_way] = [await way_to(model), await way_to(agents)];

async function open(agent, chat, way = agents_way) {
  const page = await context.newPage();
  page.on("pageerror", (error) => saw.errors.push(`${agent}: ${error.message}`));
  await page.goto(`${page_url}/use_chat.html?api=${encodeURIComponent(`${way}/api/chat`)}&agent=${agent}&chat=${chat}`);
  await page.waitForSelector("input");
  return page;
}
async function say(page, text) {
  await page.locator("input").fill(text);
  await page.keyboard.press("Enter");
}
const press = (page, name) => page.locator(`button:has-text('${name}')`).first().click();
const status = (page, wanted) => page.waitForSelector(`#status:text-is('${wanted}')`, { timeout: 90_000 });
const answers = (page) => page.locator("section.assistant").allInnerTexts();
const answer = async (page) => (await answers(page)).at(-1) ?? "";
const asked = (page) => page.locator("section.user").allInnerTexts();
const picture = (page, name) => page.screenshot({ path: `${folder}/use_chat_${name}.png` });
async function until(page, condition) {
  for (let at = 0; at < 1_200 && !(await condition()); at++) await page.waitForTimeout(50);
  return answer(page);
}
// The answer once it has so many characters, or has ended.
const longer = (page, length) =>
  until(page, async () => {
    const ended = (await page.locator("#status").innerText()) === "ready";
    return ended || (await answer(page)).length >= length;
  });

async function until_json(address, condition) {
  for (;;) {
    const found = await (await fetch(address)).json();
    if (condition(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

// A chat with the embedded model over two turns.
let page = await open("chat", "talk", model_way);
await say(page, "What is the capital of France?");
await until(page, async () => (await answer(page)).includes("."));
await status(page, "ready");
await say(page, "And of Italy?");
await until(page, async () => (await answers(page)).length === 2 && (await answer(page)).includes("."));
await status(page, "ready");
saw.talk = [await asked(page), await answers(page)];
await picture(page, "talk");

// A connection that is cut in mid-stream, and the page goes on.
await say(page, "Tell me a long story about a fox, a river and the moon.");
await until(page, async () => (await answers(page)).length === 3 && (await answer(page)).length >= 40);
cut();
await status(page, "error");
saw.cut = await answer(page);
await picture(page, "cut");
await press(page, "Go on");
await page.waitForSelector(".error", { state: "detached" });
const going = await longer(page, saw.cut.length + 40);
saw.goes_on = going.startsWith(saw.cut);
await picture(page, "gone_on");

// A reload in mid-stream, and a second tab, both in step until a stop.
await page.reload();
const before = await until(page, async () => (await answer(page)).length > going.length);
const tab = await open("chat", "talk", model_way);
const reached = await until(tab, async () => (await answer(tab)).length > before.length);
await press(tab, "Stop");
await Promise.all([status(page, "ready"), status(tab, "ready")]);
saw.reloaded = before.startsWith(saw.cut);
saw.in_step = [await answer(page), await answer(tab)];
saw.grew = (await answer(tab)).length >= reached.length;
saw.messages = [await asked(tab), (await answers(tab)).length];
await picture(page, "stopped");
await picture(tab, "second_tab");

// The answer again, from the page that was reloaded.
const stopped = await answer(page);
await press(page, "Again");
await until(page, async () => !stopped.startsWith(await answer(page)));
await press(page, "Stop");
await status(page, "ready");
saw.again = [(await asked(page)).length, (await answer(page)) !== stopped];

// A question, found open again by a reload, and answered.
page = await open("asks", "question");
await say(page, "Clean up");
await page.waitForSelector("button:has-text('Accept')");
await page.reload();
await page.waitForSelector("button:has-text('Accept')");
await picture(page, "question");
await press(page, "Accept");
await page.waitForSelector("text=The human said: accept.");
await status(page, "ready");
saw.question = await answer(page);
await picture(page, "answered");

// A tool of the agent, and a reload after the end.
page = await open("tools", "tool");
await say(page, "Where?");
await page.waitForSelector("text=It is **Paris**.");
await status(page, "ready");
await page.reload();
await status(page, "ready");
saw.tool = await answers(page);
await picture(page, "tool");

// A place in the queue, and a stop.
page = await open("writes", "queue");
await fetch(`${agents}/queue/pause`, { method: "POST" });
await say(page, "Write on");
await page.waitForSelector("#place");
await picture(page, "queue");
saw.place = await page.locator("#place").innerText();
await fetch(`${agents}/queue/resume`, { method: "POST" });
await page.waitForSelector("text=word5");
await press(page, "Stop");
await status(page, "ready");
saw.words = await answer(page);

// An answer that ends while the connection is broken.
page = await open("writes", "away");
await say(page, "Write");
await page.waitForSelector("text=word3");
cut();
await status(page, "error");
saw.left = await answer(page);
const { messages } = await until_json(`${agents}/threads/away/messages`, ({ messages }) => messages[0].state === "completed");
await press(page, "Go on");
await page.waitForSelector("text=word59");
await status(page, "ready");
saw.whole = [await answers(page), messages.length];
console.log(JSON.stringify(saw));
await browser.close();
process.exit(0);
