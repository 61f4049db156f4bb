// Draw files with WebGL2 in Chromium, and compare: node web/test/pixels-browser.mjs WASM CASES.json; see pixels.mjs.
import { readFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { ROOT, browser, serve } from "./serve.mjs";

const [wasm, list] = process.argv.slice(2);
const url = (path) => `/${relative(ROOT, resolve(path))}`;
const cases = JSON.parse(readFileSync(list)).map((c) => ({ ...c, url: url(c.file), pixels: url(c.pixels) }));
const { server, url: base } = await serve(), chrome = await browser();
try {
  const page = await chrome.newPage();
  page.on("console", (message) => console.error(message.text()));
  page.on("pageerror", (fault) => console.error(String(fault)));
  await page.goto(`${base}/blank`);
  const found = await page.evaluate(async ([wasm, cases]) => {
    const { Core, compile, decodeWith, plan, viewOf, GlRenderer } = await import("/web/src/index.js");
    const { worst } = await import("/web/test/worst.mjs");
    const core = new Core(await compile(wasm)), bytes = async (u) => new Uint8Array(await (await fetch(u)).arrayBuffer());
    const out = { cases: [] };
    for (const half of [false, true]) {
      const renderer = new GlRenderer(new OffscreenCanvas(8, 8), { half, core });
      out.name = renderer.name;
      for (const { url, pixels, file, scale, look, crop } of cases) {
        const decoded = await decodeWith(core, await bytes(url));
        const drawn = plan(decoded, viewOf(decoded, scale, crop), look);
        const wanted = await bytes(pixels), entry = { file, scale, look, half, worst: worst(renderer.pixels(drawn), wanted) };
        renderer.draw(drawn);
        const shown = new OffscreenCanvas(drawn.view.width, drawn.view.height).getContext("2d");
        shown.drawImage(renderer.canvas, 0, 0);
        entry.canvas = worst(shown.getImageData(0, 0, drawn.view.width, drawn.view.height).data, wanted);
        out.cases.push(entry);
      }
    }
    return out;
  }, [url(wasm), cases]);
  console.log(JSON.stringify(found));
} finally {
  await chrome.close();
  server.close();
}
