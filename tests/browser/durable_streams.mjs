// Uses the page of `durable_streams_page.js` in Chromium: `node durable_streams.mjs PAGE SERVER BY`. It cuts the page's
// connections, reloads the page, and prints what it saw as JSON.
import chromium from "@sparticuz/chromium";
import { chromium as playwright } from "playwright-core";
import { cut, way_to } from "./way.mjs";

const [, , pageUrl, server, by] = process.argv;
const executablePath = process.env.CHROMIUM ?? (await chromium.executablePath());
const options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
const browser = await playwright.launch({ executablePath, args: [...options, "--disable-background-networking"] });
const saw = { errors: [] };

const body = JSON.stringify({ message: "Write", agent: "writes" });
const headers = { "Content-Type": "application/json" };
const { message_id } = await (await fetch(`${server}/messages`, { method: "POST", headers, body })).json();
const url = `${await way_to(server)}/streams/messages/${message_id}`;

const page = await browser.newPage();
page.on("pageerror", (error) => saw.errors.push(error.message));
await page.goto(`${pageUrl}/use_chat.html#${new URLSearchParams({ url, by })}`);
const count = () => page.evaluate(() => Number(document.getElementById("page").dataset.count ?? 0));
const more = async (than) => {
  for (;;) {
    const found = await count();
    if (found > than) return found;
    await page.waitForTimeout(20);
  }
};

saw.counts = [await more(3)];
cut();
saw.counts.push(await more(await count()));
await page.reload();
const began = () => Number(document.getElementById("page").dataset.began);
await page.waitForSelector("#page[data-began]", { state: "attached" });
saw.began = await page.evaluate(began);
saw.counts.push(await more(saw.began));
await page.waitForSelector("#page[data-ended]", { state: "attached" });
saw.ids = JSON.parse(await page.evaluate(() => document.getElementById("page").dataset.ended));
saw.stored = (await (await fetch(`${server}/messages/${message_id}/events?limit=1000`)).json()).events.map(({ id }) => id);
console.log(JSON.stringify(saw));
await browser.close();
process.exit(0); // the way is still open
