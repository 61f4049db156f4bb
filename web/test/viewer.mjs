// Use the page as a person does, in Chromium: node web/test/viewer.mjs OUT_DIR [URL of a page that is served].
// Writes saved.splat, export.png and screenshots into OUT_DIR, and what was found as JSON to stdout.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, browser, serve } from "./serve.mjs";

const [out] = process.argv.slice(2);
mkdirSync(out, { recursive: true });
const { server, url } = await serve(), chrome = await browser(), found = { errors: [] };
const PAGE = `${url}/splat2d/web/static/index.html`;

async function opened(query, options = {}) {
  const context = await chrome.newContext({ viewport: { width: 1100, height: 720 }, acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.on("pageerror", (fault) => found.errors.push(String(fault)));
  page.on("console", (message) => message.type() === "error" && found.errors.push(message.text()));
  await page.goto(PAGE + query);
  return page;
}
const ready = (page) => page.waitForFunction(() => window.splat2d?.document?.bytes && !document.getElementById("picture").hidden);
const say = (page) => page.locator("#status").textContent();
const shot = (page, name) => page.screenshot({ path: join(out, `${name}.png`) });
const file = (name) => join(ROOT, "tests/golden", name);
// The stage's point of a canvas point.
const at = async (page, x, y) => {
  const box = await page.locator("#stage").boundingBox();
  const [u, v] = await page.evaluate((p) => splat2d.camera.toStage(p), [x, y]);
  return [box.x + u, box.y + v];
};
async function download(page, button, path, answer) {
  const waiting = page.waitForEvent("download");
  await page.click(button);
  if (answer) {
    await page.fill("#ask input", answer);
    await page.click("#ask button.main");
  }
  await (await waiting).saveAs(join(out, path));
}

try {
  // Pick an object, move it, undo, redo, tint it, save, export; by the GPU's renderer.
  let page = await opened(`?renderer=webgl2&src=${encodeURIComponent("/tests/golden/layers/objects.splat")}`);
  await ready(page);
  // The GPU takes over behind the first picture.
  await page.waitForFunction(() => splat2d.painter.renderer.kind === "webgl2");
  found.renderer = await page.evaluate(() => splat2d.painter.renderer.kind);
  found.layers = await page.locator("#layers li span").allTextContents();
  const before = await page.evaluate(() => splat2d.document.stack.find(({ name }) => name === "right").offset);
  const middle = await page.evaluate(() => splat2d.document.center(splat2d.document.stack.find(({ name }) => name === "right")));
  const [x, y] = await at(page, ...middle);
  await page.mouse.click(x, y);
  found.picked = await page.locator("#layers li[aria-selected=true] span").textContent();
  const zoom = await page.evaluate(() => splat2d.camera.zoom);
  await page.mouse.move(x, y);
  await page.mouse.down();
  await page.mouse.move(x - 4 * zoom, y - 2 * zoom, { steps: 4 });
  await page.mouse.move(x - 8 * zoom, y - 4 * zoom, { steps: 4 });
  await page.mouse.up();
  const offset = () => page.evaluate(() => splat2d.document.stack.find(({ name }) => name === "right").offset);
  found.moved = (await offset()).map((v, i) => v - before[i]);
  await page.click("#undo");
  found.undone = (await offset()).map((v, i) => v - before[i]);
  await page.keyboard.press("Control+Shift+z");
  found.redone = (await offset()).map((v, i) => v - before[i]);
  await page.locator("#adjust-saturation").fill("0.3");
  await page.locator("#adjust-saturation").dispatchEvent("change");
  found.steps = await page.evaluate(() => splat2d.document.steps.map((step) => step.map(({ kind, layer, values }) => [kind, layer, ...values])));
  await page.focus("#stage");
  await page.keyboard.press("Shift+ArrowLeft");
  found.nudged = (await offset()).map((v, i) => v - before[i]);
  await page.keyboard.press("Control+z");
  await download(page, "#save", "saved.splat");
  await download(page, "#export", "export.png", "2");
  await page.check("#ellipses");
  await shot(page, "editor");
  // Names for a screen reader: every control has one.
  found.unnamed = await page.evaluate(() => [...document.querySelectorAll("button, input, select")].filter((node) => node.offsetParent &&
    !(node.textContent.trim() || node.getAttribute("aria-label") || node.labels?.length)).map((node) => node.outerHTML));
  // A lost context comes back, and the picture with it.
  await page.uncheck("#ellipses");
  found.restored = await page.evaluate(async () => {
    const { painter } = splat2d, lose = painter.renderer.gl.getExtension("WEBGL_lose_context");
    lose.loseContext();
    await new Promise((done) => painter.canvas.addEventListener("webglcontextlost", done, { once: true }));
    setTimeout(() => lose.restoreContext());
    await new Promise((done) => painter.canvas.addEventListener("webglcontextrestored", done, { once: true }));
    painter.paint();
    const copy = new OffscreenCanvas(painter.canvas.width, painter.canvas.height).getContext("2d");
    copy.drawImage(painter.canvas, 0, 0);
    return copy.getImageData(painter.canvas.width >> 1, painter.canvas.height >> 1, 1, 1).data.slice(0, 3).some(Boolean);
  });
  // Files that are no .splat: a message, and what was open stays.
  found.refused = {};
  for (const [name, bytes] of [["empty", ""], ["three", "\0".repeat(64)], ["cut", readFileSync(file("broken/truncated.bad"), "latin1")], ["newer", readFileSync(file("broken/future-version.bad"), "latin1")], ["large", "\xc2SPL\x01\x03\xff\xff\x03\xff\xff\x03"]]) {
    found.refused[name] = await page.evaluate(async ([name, text]) => splat2d.openBytes(name, Uint8Array.from(text, (c) => c.charCodeAt(0))).then(() => "opened", (fault) => fault.message), [name, bytes]);
  }
  found.kept = await page.evaluate(() => splat2d.document.name);
  await page.context().close();

  // Zoom and pan without WebGL2, in the dark, on a phone's width.
  page = await opened(`?renderer=cpu&src=${encodeURIComponent("/tests/golden/pictures/rgb.splat")}`, { viewport: { width: 390, height: 780 }, colorScheme: "dark", hasTouch: true });
  await ready(page);
  found.phone = await page.evaluate(() => [splat2d.painter.renderer.kind, document.documentElement.scrollWidth <= innerWidth]);
  await page.mouse.move(...(await at(page, 30, 20)));
  await page.waitForFunction(() => document.getElementById("pixel").value);
  // Events tell whole pixels.
  const [px, py] = (await at(page, 30, 20)).map(Math.round), box = await page.locator("#stage").boundingBox();
  const under = () => page.evaluate((p) => splat2d.camera.toCanvas(...p), [px - box.x, py - box.y]);
  await page.mouse.move(px, py);
  const first = await under();
  await page.mouse.wheel(0, -1200);
  await page.waitForFunction(() => splat2d.camera.zoom > 10);
  const [qx, qy] = await under();
  found.zoomed = { zoom: await page.evaluate(() => splat2d.camera.zoom), shift: Math.hypot(qx - first[0], qy - first[1]) };
  await page.waitForTimeout(100);
  found.pixel = await page.locator("#pixel").textContent();
  await shot(page, "phone");
  await page.context().close();

  // A clip plays, steps and scrubs.
  page = await opened(`?src=${encodeURIComponent("/tests/golden/clips/pan.splat")}`);
  await ready(page);
  const moment = () => page.locator("#moment").textContent();
  found.clip = [await moment()];
  await page.click("#forth");
  await page.waitForTimeout(150);
  found.clip.push(await moment());
  await page.click("#play");
  await page.waitForTimeout(400);
  found.played = await page.evaluate(() => [document.getElementById("play").getAttribute("aria-label"), splat2d.painter.time > 0]);
  await page.click("#play");
  // At a rate of one's own only moments of that rate are shown.
  await page.selectOption("#rate", "12");
  found.rated = await page.evaluate(async () => {
    const times = [], { painter } = splat2d, request = painter.request.bind(painter);
    painter.request = (...values) => (times.push(painter.time), request(...values));
    document.getElementById("play").click();
    await new Promise((done) => setTimeout(done, 700));
    document.getElementById("play").click();
    painter.request = request;
    return [times.every((t) => Math.abs(t * 12 - Math.round(t * 12)) < 1e-6), new Set(times).size > 2];
  });
  await page.locator("#scrub").fill("1000");
  await page.waitForTimeout(150);
  found.clip.push(await moment());
  await page.context().close();

  // A file from the dialog, one from a link that is broken, and a comparison with a picture.
  page = await opened("");
  const chooser = page.waitForEvent("filechooser");
  await page.click("#open-first");
  await (await chooser).setFiles(file("pictures/many.splat"));
  await ready(page);
  found.chosen = await page.evaluate(() => splat2d.document.name);
  const second = page.waitForEvent("filechooser");
  await page.click("#compare");
  await (await second).setFiles(file("pictures/rgb.splat"));
  await page.waitForFunction(() => !document.getElementById("divider").hidden);
  await shot(page, "compare");
  found.compared = await say(page);
  await page.click("#beside");
  await page.waitForTimeout(200);
  await shot(page, "beside");
  found.beside = await page.evaluate(() => {
    const box = (id) => document.getElementById(id).getBoundingClientRect(), [one, other, stage] = ["picture", "reference", "stage"].map(box);
    return [Math.round(other.left - one.left - stage.width / 2), Math.round(other.width - one.width), one.right <= stage.left + stage.width / 2, document.getElementById("divider").hidden];
  });
  await page.click("#beside");
  await page.click("#link");
  await page.fill("#ask input", `${url}/nothing.splat`);
  await page.click("#ask button.main");
  await page.waitForFunction(() => document.getElementById("status").classList.contains("fault"));
  found.broken = await say(page);
  await page.context().close();

  // The element, in place of an image that no browser shows.
  page = await (await chrome.newContext({ deviceScaleFactor: 2 })).newPage();
  page.on("pageerror", (fault) => found.errors.push(String(fault)));
  await page.goto(`${url}/blank`);
  found.element = await page.evaluate(async () => {
    document.body.innerHTML = '<img src="/tests/golden/pictures/rgb.splat" alt="an eye" width="192"><splat-picture src="/nothing.splat"></splat-picture>';
    const { configure, replaceImages } = await import("/web/src/element.js");
    configure({ wasm: "/splat2d/web/static/splat2d.wasm.gz" });
    const broken = document.querySelector("splat-picture"), failed = new Promise((done) => broken.addEventListener("error", ({ message }) => done(message), { once: true }));
    replaceImages();
    const picture = document.querySelector("splat-picture");
    await new Promise((done) => picture.addEventListener("load", done, { once: true }));
    await new Promise((done) => setTimeout(done, 100));
    const canvas = picture.shadowRoot.querySelector("canvas"), { data } = canvas.getContext("2d").getImageData(canvas.width >> 1, canvas.height >> 1, 1, 1);
    return { width: canvas.width, height: canvas.height, label: canvas.getAttribute("aria-label"), drawn: data[3] === 255, failed: await failed };
  });
  await page.context?.().close();

  // What came before a connection was lost stays, and says what it is.
  page = await opened(`?src=${encodeURIComponent("/lost/tests/golden/pictures/directory.splat")}`);
  await page.waitForFunction(() => document.getElementById("status").classList.contains("fault") && window.splat2d?.document);
  found.lost = await page.evaluate(() => [splat2d.document.file.tiers, splat2d.document.bytes, document.getElementById("picture").hidden, document.getElementById("save").disabled]);
  found.errors = found.errors.filter((text) => !/404|nothing\.splat|ERR_CONTENT_LENGTH|ERR_EMPTY|ERR_CONN/.test(text));
  console.log(JSON.stringify(found));
} finally {
  await chrome.close();
  server.close();
}
