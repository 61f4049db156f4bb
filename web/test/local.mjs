// The page of `splat2d view`, and one that is a single file: node web/test/local.mjs URL FILE.html PICTURE.png OUT.splat
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { browser } from "./serve.mjs";

const [url, html, picture, out] = process.argv.slice(2), chrome = await browser(), found = { errors: [] };
const ready = (page) => page.waitForFunction(() => window.splat2d?.document?.bytes && !document.getElementById("picture").hidden);
async function opened(address) {
  const page = await chrome.newPage();
  page.on("pageerror", (fault) => found.errors.push(String(fault)));
  page.on("console", (message) => message.type() === "error" && found.errors.push(message.text()));
  await page.goto(address);
  return page;
}
try {
  let page = await opened(url);
  await ready(page);
  found.served = await page.evaluate(() => [splat2d.document.name, splat2d.document.bytes.length]);
  const chooser = page.waitForEvent("filechooser");
  await page.click("#open");
  await (await chooser).setFiles(picture);
  await page.fill("#ask input", "30");
  await page.evaluate(() => {
    window.told = [];
    new MutationObserver(() => told.push(document.querySelector("#busy span").textContent)).observe(document.getElementById("busy"), { subtree: true, childList: true, characterData: true });
  });
  await page.click("#ask button.main");
  await page.waitForFunction((before) => splat2d.document.name !== before, found.served[0], { timeout: 60000 });
  found.encoded = await page.evaluate(() => [splat2d.document.name, splat2d.document.bytes.length]);
  found.progress = await page.evaluate(() => told.some((text) => /dB, about/.test(text)));
  writeFileSync(out, Uint8Array.from(await page.evaluate(() => [...splat2d.document.bytes])));
  await page.click("#compare");
  await page.waitForFunction(() => !document.getElementById("divider").hidden);
  found.compared = await page.locator("#status").textContent();
  await page.close();

  page = await opened(pathToFileURL(html).href);
  await ready(page);
  found.single = await page.evaluate(() => [splat2d.document.name, splat2d.document.bytes.length, [...splat2d.painter.colorAt(10, 10)]]);
  await page.close();
  console.log(JSON.stringify(found));
} finally {
  await chrome.close();
}
