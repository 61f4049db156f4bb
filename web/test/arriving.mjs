// What is seen of a picture and of a clip while they arrive within a second, in Chromium: node web/test/arriving.mjs CLIP.splat
import { relative, resolve } from "node:path";
import { ROOT, browser, serve } from "./serve.mjs";

const [clip] = process.argv.slice(2), { server, url } = await serve(), chrome = await browser(), found = { errors: [] };
async function opened(path) {
  const page = await chrome.newPage();
  page.on("pageerror", (fault) => found.errors.push(String(fault)));
  page.on("console", (message) => message.type() === "error" && found.errors.push(message.text()));
  await page.goto(`${url}/splat2d/web/static/index.html?src=${encodeURIComponent(`/slow/${path}`)}`);
  return page;
}
try {
  // Tiers and splats of a large layer, frame by frame of the screen.
  let page = await opened("tests/golden/pictures/parts.splat");
  found.picture = await page.evaluate(async () => {
    const seen = [];
    for (let filled = false; !filled; await new Promise(requestAnimationFrame)) {
      const { bytes, file } = window.splat2d?.document ?? {};
      if (!file) continue;
      const [{ splats, parts }] = file.layers, counts = [splats, ...parts.map((part) => part.splats)].map((part) => part?.count ?? 0);
      seen.push([file.tiers, counts.reduce((a, b) => a + b)]);
      filled = bytes && parts.every((part) => part.splats && !part.coarser);
    }
    return seen;
  });
  await page.close();

  // A clip plays what is there of it, waits for the rest at its end, and goes on.
  page = await opened(relative(ROOT, resolve(clip)));
  await page.waitForFunction(() => window.splat2d?.document?.file.segments[0].splats);
  found.first = await page.evaluate(() => [splat2d.document.bytes, splat2d.document.file.segments.length]);
  await page.evaluate(() => document.getElementById("loop").click());
  await page.click("#play");
  found.clip = await page.evaluate(async () => {
    const times = [], { painter } = splat2d;
    for (; document.getElementById("play").getAttribute("aria-label") === "Pause"; await new Promise(requestAnimationFrame)) times.push(painter.time);
    return times;
  });
  found.duration = await page.evaluate(() => splat2d.document.timeline.duration);

  // Who opens another file meanwhile gets that one, and it stays.
  page = await opened("tests/golden/pictures/parts.splat");
  await page.waitForFunction(() => window.splat2d?.document);
  found.other = await page.evaluate(async () => {
    const bytes = new Uint8Array(await (await fetch("/tests/golden/clips/pan.splat")).arrayBuffer());
    await splat2d.openBytes("pan.splat", bytes);
    await new Promise((done) => setTimeout(done, 1200));
    document.getElementById("forth").click();
    await new Promise((done) => setTimeout(done, 100));
    return [splat2d.document.name, document.getElementById("moment").textContent];
  });
  console.log(JSON.stringify(found));
} finally {
  await chrome.close();
  server.close();
}
