// Uses the page of `typescript_client_page.jsx` in Chromium: `node typescript_client.mjs PAGE SERVER TOKEN TEXT`. It cuts
// the page's connections, reloads the page, and prints what it saw as JSON.
import net from "node:net";
import chromium from "@sparticuz/chromium";
import { chromium as playwright } from "playwright-core";

const [, , pageUrl, server, token, text] = process.argv;
const executablePath = process.env.CHROMIUM ?? (await chromium.executablePath());
const options = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
const browser = await playwright.launch({ executablePath, args: [...options, "--disable-background-networking"] });
const saw = { errors: [] };

// A way to the server that can be cut while bytes are on it.
const { hostname, port } = new URL(server);
const sockets = new Set();
let connections = 0;
const way = net.createServer((near) => {
  connections += 1;
  const far = net.connect(Number(port), hostname);
  for (const socket of [near, far]) {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => (near.destroy(), far.destroy(), sockets.delete(socket)));
  }
  near.pipe(far).pipe(near);
});
await new Promise((done) => way.listen(0, "127.0.0.1", done));
const api = `http://127.0.0.1:${way.address().port}`;

const page = await browser.newPage();
page.on("pageerror", (error) => saw.errors.push(error.message));
await page.goto(`${pageUrl}/use_chat.html#${new URLSearchParams({ api, token, thread: "chat-1" })}`);
const answer = async () => (await page.locator("section").allInnerTexts()).at(-1) ?? "";
async function longer(length) {
  for (;;) {
    const found = await answer();
    if (found.length > length) return found;
    await page.waitForTimeout(20);
  }
}

await page.locator("input").fill(text);
await page.keyboard.press("Enter");
saw.first = await longer(0);
const before = connections;
for (const socket of sockets) socket.resetAndDestroy();
saw.after_the_cut = await longer((await answer()).length);
saw.reconnected = connections > before;
await page.reload();
saw.after_the_reload = await longer(0);
await page.waitForSelector("section[data-state=completed]");
saw.last = await answer();
saw.messages = await page.locator("section").count();
console.log(JSON.stringify(saw));
await browser.close();
way.close();
