// The page of `splat2d view`, and one that is a single file: node web/test/local.mjs URL FILE.html PICTURE.png OUT.splat
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { browser } from "./serve.mjs";

const [url, html, picture, out, shot] = process.argv.slice(2), chrome = await browser(), found = { errors: [] };
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
  // A box becomes a layer.
  await page.click("#compare");
  await page.click("[data-select=rectangle]");
  const box = await page.locator("#stage").boundingBox();
  const at = async (x, y) => {
    const [u, v] = await page.evaluate((p) => splat2d.camera.toStage(p), [x, y]);
    return [box.x + u, box.y + v];
  };
  await page.mouse.move(...(await at(8, 8)));
  await page.mouse.down();
  await page.mouse.move(...(await at(20, 16)));
  await page.mouse.move(...(await at(32, 24)));
  await page.mouse.up();
  if (shot) await page.screenshot({ path: shot });
  await page.click("#cut");
  await page.fill("#ask input", "thing");
  await page.click("#ask button.main");
  await page.waitForFunction(() => splat2d.document.names.length === 2, null, { timeout: 60000 });
  found.cut = await page.evaluate(() => splat2d.document.names);
  found.inside = await page.evaluate(() => [[20, 16], [12, 12], [45, 29], [20, 30]].map((p) => splat2d.painter.pick(...p).name));
  await page.click("#undo");
  found.uncut = await page.evaluate(() => splat2d.document.names);
  await page.close();

  page = await opened(pathToFileURL(html).href);
  await ready(page);
  found.single = await page.evaluate(() => [splat2d.document.name, splat2d.document.bytes.length, [...splat2d.painter.colorAt(10, 10)]]);
  await page.close();
  console.log(JSON.stringify(found));
} finally {
  await chrome.close();
}
