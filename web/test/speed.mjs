// Times in Chromium: node web/test/speed.mjs WASM FILE.splat. Medians and least, ms.
import { relative, resolve } from "node:path";
import { ROOT, browser, serve } from "./serve.mjs";

const [wasm, file] = process.argv.slice(2).map((path) => `/${relative(ROOT, resolve(path))}`);
const { server, url: base } = await serve(), chrome = await browser();
try {
  const page = await chrome.newPage();
  page.on("console", (message) => console.error(message.text()));
  await page.goto(`${base}/blank`);
  console.log(JSON.stringify(await page.evaluate(async ([wasm, file]) => {
    const { Core, Decoder, compile, decodeWith, plan, viewOf, GlRenderer, RasterRenderer } = await import("/web/src/index.js");
    const module = await compile(wasm), core = new Core(module), bytes = new Uint8Array(await (await fetch(file)).arrayBuffer());
    const median = async (work, n = 15) => {
      const times = [];
      for (let i = 0; i < n; ++i) {
        const begin = performance.now();
        await work();
        times.push(performance.now() - begin);
      }
      times.sort((a, b) => a - b);
      return [+times[n >> 1].toFixed(1), +times[0].toFixed(1)];
    };
    const decoded = await decodeWith(core, bytes), drawn = plan(decoded, viewOf(decoded));
    const canvas = (id) => Object.assign(document.createElement("canvas"), { id });
    const gl = new GlRenderer(canvas()), half = new GlRenderer(canvas(), { half: true }), cpu = new RasterRenderer(canvas(), core);
    const wait = (r) => r.gl.readPixels(0, 0, 1, 1, r.gl.RGBA, r.gl.UNSIGNED_BYTE, new Uint8Array(4));
    const decoder = new Decoder({ wasm: module });
    return {
      splats: decoded.layers[0].splats.count,
      decode: await median(() => decodeWith(core, bytes)),
      worker: await median(() => decoder.decode(bytes)),
      gl: await median(() => (gl.draw(drawn), wait(gl))),
      glHalf: await median(() => (half.draw(drawn), wait(half))),
      sums: await median(() => core.sums(drawn.view.width, drawn.view.height, 3, [0, 0, 0, 0], [])),
      cpu: await median(() => cpu.draw(drawn)),
      bytesToPixelsGl: await median(async () => (gl.draw(plan(await decodeWith(core, bytes), drawn.view)), wait(gl))),
      bytesToPixelsCpu: await median(async () => cpu.draw(plan(await decodeWith(core, bytes), drawn.view))),
    };
  }, [wasm, file])));
} finally {
  await chrome.close();
  server.close();
}
