// Look around in a light field, in Chromium: node web/test/eyes.mjs OUT_DIR
// Writes screenshots, and as NAME.raw what the page draws [48, 64, 4]; prints from where as JSON.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { browser, serve } from "./serve.mjs";

const [out] = process.argv.slice(2);
mkdirSync(out, { recursive: true });
const { server, url } = await serve(), chrome = await browser(), found = { errors: [], hidden: [], eyes: {}, panned: [], focus: {} };
const context = await chrome.newContext({ viewport: { width: 1100, height: 720 } }), page = await context.newPage();
page.on("pageerror", (fault) => found.errors.push(String(fault)));
page.on("console", (message) => message.type() === "error" && found.errors.push(message.text()));
const open = async (name, query = "") => {
  await page.goto(`${url}/splat2d/web/static/index.html?src=${url}/tests/golden/${name}${query}`);
  await page.waitForFunction(() => window.splat2d?.document?.bytes && !document.getElementById("picture").hidden);
  found.hidden.push(await page.locator("#lens").isHidden());
};
const keep = async (name) => {
  writeFileSync(join(out, `${name}.raw`), Buffer.from(await page.evaluate(() => [...splat2d.painter.bytes()])));
  await page.screenshot({ path: join(out, `${name}.png`) });
  return page.evaluate(() => splat2d.lens.options);
};
const look = async (name) => (found.eyes[name] = (await keep(name)).eye);
const drag = async (dx, dy, alt = false) => {
  const box = await page.locator("#stage").boundingBox(), x = box.x + box.width / 2, y = box.y + box.height / 2;
  if (alt) await page.keyboard.down("Alt");
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x + dx / 2, y + dy / 2, { steps: 4 });
  await page.mouse.move(x + dx, y + dy, { steps: 4 });
  await page.mouse.up();
  if (alt) await page.keyboard.up("Alt");
};

try {
  await open("lightfields/grid.splat", "&renderer=webgl2");
  found.views = await page.evaluate(() => [...document.querySelectorAll("#facts tr")].find((row) => row.cells[0].textContent === "Views")?.cells[1].textContent);
  await look("middle");
  await drag(200, 0);
  await look("dragged");
  await page.fill("#eye-v", "0.5");
  await page.fill("#eye-u", "1");
  await look("slid");
  await page.click("#straight");
  const pan = async (way) => {
    const before = await page.evaluate(() => splat2d.camera.x);
    await way();
    const [x, eye] = await page.evaluate(() => [splat2d.camera.x, splat2d.lens.options.eye[0]]);
    found.panned.push([Math.abs(x - before) > 1, eye]);
  };
  await pan(() => drag(90, 0, true));
  await page.keyboard.press("v");
  await pan(() => drag(-90, 0));
  await page.keyboard.press("v");
  await page.click("#fit");

  // Through the lens a click focuses.
  await page.check("#wide");
  const click = async (name, x, y) => {
    const box = await page.locator("#stage").boundingBox(), [u, v] = await page.evaluate((p) => splat2d.camera.toStage(p), [x, y]);
    await page.mouse.click(box.x + u, box.y + v);
    const { eye, focus } = await keep(name);
    found.focus[name] = focus;
    found.eyes[name] = eye;
  };
  await click("square", 32, 24);
  await page.fill("#eye-u", "-1");
  await click("wall", 8, 8);
  await open("pictures/rgb.splat");

  // Its page has no icon, which the browser complains of.
  const blank = await context.newPage();
  await blank.goto(`${url}/blank`);
  found.element = await blank.evaluate(async (base) => {
    const { configure } = await import(`${base}/web/src/element.js`);
    configure({ wasm: `${base}/splat2d/web/static/splat2d.wasm.gz` });
    const picture = document.createElement("splat-picture");
    picture.setAttribute("src", `${base}/tests/golden/lightfields/grid.splat`);
    picture.style.width = "64px";
    const loaded = new Promise((done) => picture.addEventListener("load", done));
    document.body.append(picture);
    await loaded;
    const seen = async () => {
      await new Promise((done) => setTimeout(done, 200));
      const canvas = picture.shadowRoot.querySelector("canvas");
      return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.join();
    };
    const straight = await seen();
    picture.setAttribute("eye", "1,0.5");
    const aside = await seen();
    picture.setAttribute("focus", "0.5");
    return [straight !== aside, (await seen()) !== aside];
  }, url);
} finally {
  await chrome.close();
  server.close();
}
console.log(JSON.stringify(found));
