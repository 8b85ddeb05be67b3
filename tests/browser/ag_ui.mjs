// Uses the page of `ag_ui_page.jsx` in Chromium: `node ag_ui.mjs PAGE MODEL AGENTS FOLDER`. It prints what it saw as JSON,
// and takes pictures. The first server has the embedded model, the second one the agents of `agents.py`.
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

async function open(agent, thread, way = agents_way) {
  const page = await context.newPage();
  // A client whose connection was reset throws what it cannot cancel any more, beside the error that it gives the page.
  page.on("pageerror", ({ message }) => message === "network error" || saw.errors.push(`${agent}: ${message}`));
  const api = encodeURIComponent(`${way}/agui`);
  await page.goto(`${page_url}/use_chat.html?api=${api}&agent=${agent}&thread=${thread}`);
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
const picture = (page, name) => page.screenshot({ path: `${folder}/ag_ui_${name}.png` });
async function until(page, condition) {
  for (let at = 0; at < 1_200 && !(await condition()); at++) await page.waitForTimeout(50);
  return answer(page);
}
// The answer once it has so many characters, or has ended.
const longer = (page, length) =>
  until(page, async () => {
    const ended = (await page.locator("#status").innerText()) !== "running";
    return ended || (await answer(page)).length >= length;
  });

// A chat with the embedded model over two turns.
let page = await open("chat", "talk", model_way);
await status(page, "success");
await say(page, "What is the capital of France?");
await until(page, async () => (await answer(page)).includes("."));
await status(page, "success");
await say(page, "And of Italy?");
await until(page, async () => (await answers(page)).length === 2 && (await answer(page)).includes("."));
await status(page, "success");
saw.talk = [await asked(page), await answers(page)];
await picture(page, "talk");

// A connection that is cut in mid-stream, and the page goes on.
await say(page, "Tell me a long story about a fox, a river and the moon.");
await until(page, async () => (await answers(page)).length === 3 && (await answer(page)).length >= 40);
cut();
await status(page, "cut off");
saw.cut = await answer(page);
await picture(page, "cut");
await press(page, "Go on");
const going = await longer(page, saw.cut.length + 40);
saw.goes_on = going.startsWith(saw.cut);
await picture(page, "gone_on");

// A reload, and a second tab, both in step until the end.
await page.reload();
const before = await longer(page, going.length + 1);
const tab = await open("chat", "talk", model_way);
const reached = await longer(tab, before.length + 1);
await Promise.all([status(page, "success"), status(tab, "success")]);
saw.reloaded = before.startsWith(saw.cut);
saw.in_step = [await answer(page), await answer(tab)];
saw.grew = (await answer(tab)).length >= reached.length;
saw.messages = [await asked(tab), (await answers(tab)).length];
await picture(page, "ended");
await picture(tab, "second_tab");

// Two tabs of a slower agent, one of them opened in mid-stream and cut off, until a stop from the other.
page = await open("writes", "tabs");
await status(page, "success");
await say(page, "Write on");
await page.waitForSelector("text=word3");
const late = await open("writes", "tabs");
await late.waitForSelector("text=word8");
cut();
await Promise.all([status(page, "cut off"), status(late, "cut off")]);
await Promise.all([press(page, "Go on"), press(late, "Go on")]);
await Promise.all([page.waitForSelector("text=word14"), late.waitForSelector("text=word14")]);
await press(late, "Stop");
await Promise.all([status(page, "cancelled"), status(late, "cancelled")]);
saw.tabs = [await answers(page), await answers(late)];
await picture(late, "stopped");

// A question, found open again by a reload, and answered.
page = await open("asks", "question");
await say(page, "Clean up");
await page.waitForSelector("button:has-text('Accept')");
await page.reload();
await page.waitForSelector("button:has-text('Accept')");
await picture(page, "question");
await press(page, "Accept");
await page.waitForSelector("text=The human said: accept.");
await status(page, "success");
saw.question = await answer(page);
await picture(page, "answered");

// A tool of the agent, and a reload after the end.
page = await open("tools", "tool");
await say(page, "Where?");
await page.waitForSelector("text=It is **Paris**.");
await status(page, "success");
await page.reload();
await page.waitForSelector("text=It is **Paris**.");
saw.tool = [await answers(page), await page.locator(".result").allInnerTexts()];
await picture(page, "tool");

// A place in the queue, and a stop.
page = await open("writes", "queue");
await status(page, "success");
await fetch(`${agents}/queue/pause`, { method: "POST" });
await say(page, "Write on");
await page.waitForSelector("#place");
await picture(page, "queue");
saw.place = await page.locator("#place").innerText();
await fetch(`${agents}/queue/resume`, { method: "POST" });
await page.waitForSelector("text=word5");
await press(page, "Stop");
await status(page, "cancelled");
saw.words = await answers(page);

// A run that ends while the connection is broken.
page = await open("writes", "away");
await status(page, "success");
await say(page, "Write");
await page.waitForSelector("text=word3");
cut();
await status(page, "cut off");
saw.left = await answers(page);
for (let state = ""; state !== "completed"; ) {
  ({ messages: [{ state }] } = await (await fetch(`${agents}/threads/away/messages`)).json());
  await page.waitForTimeout(100);
}
await press(page, "Go on");
await page.waitForSelector("text=word59");
await status(page, "success");
saw.whole = await answers(page);
console.log(JSON.stringify(saw));
await browser.close();
process.exit(0);
