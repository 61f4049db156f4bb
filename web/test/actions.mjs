// Files that are dropped and pasted, fingers, and a picture that slides: node web/test/actions.mjs URL DIR [SCREENSHOTS]
// URL is that of `splat2d view`; DIR has a.splat, b.splat, many.splat, parts.splat and p.png.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { browser } from "./serve.mjs";

const [url, folder, shots] = process.argv.slice(2), chrome = await browser(), found = { errors: [] };
if (shots) mkdirSync(shots, { recursive: true });
const ready = (page) => page.waitForFunction(() => window.splat2d?.document?.bytes && !document.getElementById("picture").hidden);
const shot = (page, name) => shots && page.screenshot({ path: join(shots, `${name}.png`) });
const named = (page, name) => page.waitForFunction((name) => splat2d.document?.name === name && splat2d.document.bytes, name, { timeout: 60000 });
async function opened(query = "", options = {}) {
  const context = await chrome.newContext({ viewport: { width: 1100, height: 720 }, permissions: ["clipboard-read", "clipboard-write"], ...options });
  const page = await context.newPage();
  page.on("pageerror", (fault) => found.errors.push(String(fault)));
  page.on("console", (message) => message.type() === "error" && found.errors.push(message.text()));
  await page.goto(url + query);
  await ready(page);
  return page;
}
// A file from the desktop, as the browser itself tells of it.
async function drop(page, name) {
  const session = await page.context().newCDPSession(page), { x, y, width, height } = await page.locator("#stage").boundingBox();
  const event = { x: x + width / 2, y: y + height / 2, data: { items: [], files: [join(folder, name)], dragOperationsMask: 1 } };
  for (const type of ["dragEnter", "dragOver"]) await session.send("Input.dispatchDragEvent", { type, ...event });
  // The page hears of it some time after the browser.
  const marked = page.waitForFunction(() => document.getElementById("stage").classList.contains("drop"), null, { timeout: 10000 });
  found.marked ??= await marked.then(() => true, () => false);
  await shot(page, `drop-${name}`);
  await session.send("Input.dispatchDragEvent", { type: "drop", ...event });
}
const texts = (page) => page.evaluate(() => {
  window.told = [];
  new MutationObserver(() => told.push([document.querySelector("#busy span").textContent, document.querySelector("#busy progress").value]))
    .observe(document.getElementById("busy"), { subtree: true, childList: true, characterData: true, attributes: true });
});

try {
  let page = await opened();
  await drop(page, "b.splat");
  await named(page, "b.splat");
  found.dropped = await page.evaluate(() => [splat2d.document.bytes.length, document.getElementById("stage").classList.contains("drop")]);

  // A picture is encoded, with progress.
  await drop(page, "p.png");
  await page.fill("#ask input", "30");
  await texts(page);
  await shot(page, "ask");
  await page.click("#ask button.main");
  await page.waitForFunction(() => told.some(([, share]) => share > 0) || splat2d.document.name === "p.splat", null, { timeout: 60000 });
  await shot(page, "encoding");
  await named(page, "p.splat");
  found.encoded = await page.evaluate(() => [splat2d.document.file.width, splat2d.document.file.height, told.some(([text]) => /dB, about/.test(text)), told.some(([, share]) => share > 0 && share < 1)]);

  // What is not to be encoded after all leaves what is open.
  await drop(page, "p.png");
  await page.click("#ask button[value='']");
  found.left = await page.evaluate(() => [splat2d.document.name, document.getElementById("busy").hidden]);

  // From the clipboard: an address, a picture, a file.
  await page.evaluate((address) => navigator.clipboard.writeText(address), `${url}file/objects.splat`);
  await page.focus("#stage");
  await page.keyboard.press("Control+v");
  await named(page, "objects.splat");
  await page.evaluate(async (bytes) => navigator.clipboard.write([new ClipboardItem({ "image/png": new Blob([Uint8Array.from(bytes)], { type: "image/png" }) })]), [...readFileSync(join(folder, "p.png"))]);
  await page.keyboard.press("Control+v");
  await page.fill("#ask input", "20");
  await page.click("#ask button.main");
  await page.waitForFunction(() => splat2d.document.file.width === 240 && splat2d.document.bytes, null, { timeout: 60000 });
  found.pasted = await page.evaluate(() => splat2d.document.name);
  await page.evaluate(async (bytes) => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([Uint8Array.from(bytes)], "a.splat"));
    document.getElementById("stage").dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
  }, [...readFileSync(join(folder, "a.splat"))]);
  await named(page, "a.splat");
  // Text that is no address says so.
  await page.evaluate(() => navigator.clipboard.writeText("hello"));
  await page.keyboard.press("Control+v");
  await page.waitForFunction(() => document.getElementById("status").classList.contains("fault"));
  found.nothing = await page.locator("#status").textContent();
  await page.context().close();

  // Two fingers.
  page = await opened("", { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true });
  const session = await page.context().newCDPSession(page), { x, y, width, height } = await page.locator("#stage").boundingBox();
  const [cx, cy] = [x + width / 2, y + height / 2];
  const touch = (type, ...points) => session.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([u, v], id) => ({ x: cx + u, y: cy + v, id })) });
  const under = () => page.evaluate(([u, v]) => splat2d.camera.toCanvas(u, v), [width / 2, height / 2]);
  const zoom = () => page.evaluate(() => splat2d.camera.zoom), first = await under(), before = await zoom();
  await touch("touchStart", [-30, 0]);
  await touch("touchStart", [-30, 0], [30, 0]);
  for (let i = 1; i <= 6; ++i) await touch("touchMove", [-30 - 5 * i, 0], [30 + 5 * i, 0]);
  await touch("touchEnd");
  const after = await under();
  found.pinched = [(await zoom()) / before, Math.hypot(after[0] - first[0], after[1] - first[1])];
  // One finger moves the picture, and none of its layers, which nobody picked.
  await touch("touchStart", [0, -60]);
  for (let i = 1; i <= 4; ++i) await touch("touchMove", [0, -60 + 10 * i]);
  await touch("touchEnd");
  found.panned = await page.evaluate(([u, v]) => [splat2d.camera.toCanvas(u, v)[1], splat2d.document.steps.length], [width / 2, height / 2]).then(([v, steps]) => [v < after[1], steps]);
  await shot(page, "pinch");
  await page.context().close();

  // A large picture is there as a coarse one first, and whole once its parts have come.
  page = await opened("?renderer=cpu");
  await page.evaluate(() => {
    const { painter } = splat2d, draw = painter.renderer.draw.bind(painter.renderer);
    window.drawn = [];
    painter.renderer.draw = (plan, ...rest) => (drawn.push(plan.items[0].sum.groups.reduce((n, { count }) => n + count, 0)), draw(plan, ...rest));
  });
  await drop(page, "parts.splat");
  await named(page, "parts.splat");
  found.filled = await page.evaluate(async () => {
    const whole = await splat2d.document.filled, { layers: [layer] } = splat2d.document.file;
    splat2d.painter.request();
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return [whole, layer.parts.every(({ splats }) => splats), drawn[drawn.findIndex((n) => n === layer.splats.count)] < drawn.at(-1), drawn.at(-1), document.getElementById("facts").textContent.match(/Splats([\d,]+)/)[1]];
  });
  await page.context().close();

  // A picture that slides is the one that is drawn anew.
  page = await opened("?renderer=cpu");
  await drop(page, "many.splat");
  await named(page, "many.splat");
  found.slid = await page.evaluate(async () => {
    const { painter, camera } = splat2d, frame = () => new Promise(requestAnimationFrame);
    await splat2d.document.filled;
    camera.zoomTo(camera.zoom * 3);
    painter.request();
    await frame();
    await frame();
    const drawn = painter.renderer.draw.bind(painter.renderer), pieces = [];
    painter.renderer.draw = (...values) => (pieces.push("all"), drawn(...values));
    for (const [u, v] of [[37, 0], [-260, 13], [0, -190], [90, 60], [5, -3]]) {
      camera.pan(u, v);
      await frame();
      await frame();
    }
    const { view } = painter.shown, seen = painter.canvas.getContext("2d").getImageData(0, 0, view.width, view.height).data;
    const anew = painter.renderer.pixels(painter.planned(view));
    return [pieces.length, seen.reduce((most, value, i) => Math.max(most, Math.abs(value - anew[i])), 0), seen.some((value) => value > 200)];
  });
  console.log(JSON.stringify(found));
} finally {
  await chrome.close();
}
