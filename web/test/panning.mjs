// Frames a second while the page pans and zooms: node web/test/panning.mjs FILE.splat [webgl2|cpu] [ZOOM]
import { relative, resolve } from "node:path";
import { ROOT, browser, serve } from "./serve.mjs";

const [file, renderer = "", zoom = 0.5] = process.argv.slice(2), { server, url } = await serve(), chrome = await browser();
try {
  const page = await chrome.newPage({ viewport: { width: 1280, height: 800 } }), begin = Date.now();
  await page.goto(`${url}/splat2d/web/static/index.html?renderer=${renderer}&src=/${relative(ROOT, resolve(file))}`);
  await page.waitForFunction(() => window.splat2d?.document?.bytes && splat2d.painter.last > 0, null, { timeout: 60000 });
  const opened = Date.now() - begin;
  // Processor time of all the browser's processes by their kind, s; other work on the machine does not count.
  const session = await chrome.newBrowserCDPSession();
  const spent = async () => {
    const sum = {};
    for (const { type, cpuTime } of (await session.send("SystemInfo.getProcessInfo")).processInfo) sum[type] = (sum[type] ?? 0) + cpuTime;
    return sum;
  };
  await page.evaluate(() => splat2d.document.filled);
  await page.evaluate((zoom) => splat2d.camera.zoomTo(zoom), Number(zoom));
  await page.waitForTimeout(800);
  const FRAMES = 40, found = {};
  for (const name of ["zoom", "pan"]) {
    const before = await spent();
    const times = await page.evaluate(async ([name, frames]) => {
      const { painter, camera } = splat2d, times = [];
      for (let i = 0; i < frames; ++i) {
        const begin = performance.now();
        if (name === "pan") camera.pan(25, 10);
        else camera.zoomTo(camera.zoom * 1.02);
        await new Promise(requestAnimationFrame);
        if (painter.renderer.gl) painter.renderer.gl.readPixels(0, 0, 1, 1, 6408, 5121, new Uint8Array(4));
        times.push([performance.now() - begin, painter.last]);
      }
      return times;
    }, [name, FRAMES]);
    await page.evaluate((zoom) => (splat2d.camera.fit(splat2d.document.file), splat2d.camera.zoomTo(zoom)), Number(zoom));
    const after = await spent(), median = (column) => times.map((t) => t[column]).sort((a, b) => a - b)[FRAMES >> 1];
    // Frames a second, ms of a frame in the painter, and ms of processor time of a frame.
    found[name] = { fps: +(1000 / median(0)).toFixed(1), painter: +median(1).toFixed(1) };
    for (const kind of ["renderer", "GPU"]) found[name][kind] = +(((after[kind] - before[kind]) * 1000) / FRAMES).toFixed(1);
  }
  console.log(JSON.stringify({ opened, ...(await page.evaluate(() => {
    const { painter, document: { file } } = splat2d, groups = file.layers.flatMap(({ splats, parts = [] }) => [splats, ...parts.map((part) => part.splats)]);
    return { renderer: painter.renderer.kind, splats: groups.reduce((n, { count }) => n + count, 0), resolution: +painter.coarse.toFixed(2) };
  })), ...found }));
} finally {
  await chrome.close();
  server.close();
}
