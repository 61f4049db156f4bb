// Frames a second while the page pans and zooms: node web/test/panning.mjs FILE.splat [webgl2|cpu]
import { relative, resolve } from "node:path";
import { ROOT, browser, serve } from "./serve.mjs";

const [file, renderer = ""] = process.argv.slice(2), { server, url } = await serve(), chrome = await browser();
try {
  const page = await chrome.newPage({ viewport: { width: 1280, height: 800 } }), begin = Date.now();
  await page.goto(`${url}/splat2d/web/static/index.html?renderer=${renderer}&src=/${relative(ROOT, resolve(file))}`);
  await page.waitForFunction(() => window.splat2d?.document?.bytes && splat2d.painter.last > 0, null, { timeout: 60000 });
  const opened = Date.now() - begin;
  console.log(JSON.stringify({ opened, ...(await page.evaluate(async () => {
    const { painter, camera, document: doc } = splat2d, times = [];
    camera.zoomTo(0.5);
    for (let i = 0; i < 40; ++i) {
      const begin = performance.now();
      if (i % 2) camera.pan(25, 10);
      else camera.zoomTo(camera.zoom * 1.03);
      await new Promise(requestAnimationFrame);
      if (painter.renderer.gl) painter.renderer.gl.readPixels(0, 0, 1, 1, 6408, 5121, new Uint8Array(4));
      times.push(performance.now() - begin);
    }
    const median = times.slice(10).sort((a, b) => a - b)[15];
    return { renderer: painter.renderer.kind, splats: doc.file.layers[0].splats.count, ms: +median.toFixed(1), fps: +(1000 / median).toFixed(1), resolution: +painter.coarse.toFixed(2) };
  })) }));
} finally {
  await chrome.close();
  server.close();
}
