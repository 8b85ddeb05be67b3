// Uses the page of the documentation in Chromium: `node use_chat_example.mjs PAGE FOLDER` prints what it saw as JSON.
import chromium from "@sparticuz/chromium";
import { chromium as playwright } from "playwright-core";

const [, , page_url, folder] = process.argv;
const executablePath = process.env.CHROMIUM ?? (await chromium.executablePath());
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
const browser = await playwright.launch({ executablePath, args });
const page = await browser.newPage({ viewport: { width: 1000, height: 400 } });
const saw = { errors: [] };
page.on("pageerror", (error) => saw.errors.push(error.message));
await page.goto(`${page_url}/use_chat.html`);
await page.locator("input").fill("What is the capital of France?");
await page.keyboard.press("Enter");
await page.waitForSelector("p:has-text('Paris')", { timeout: 60_000 });
saw.texts = await page.locator("p").allInnerTexts();
await page.screenshot({ path: `${folder}/use_chat_example.png` });
console.log(JSON.stringify(saw));
await browser.close();
