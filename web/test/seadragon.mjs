// Pan and zoom through a picture with OpenSeadragon: node web/test/seadragon.mjs URL of info.json [SCREENSHOT].
import { readFileSync } from "node:fs";
import { browser } from "./serve.mjs";

const [url, out] = process.argv.slice(2), chrome = await browser();
try {
  const page = await chrome.newPage({ viewport: { width: 900, height: 600 } });
  await page.setContent('<style>html, body, #v { margin: 0; height: 100%; background: #000; }</style><div id="v"></div>');
  await page.addScriptTag({ content: readFileSync(new URL("../node_modules/openseadragon/build/openseadragon/openseadragon.min.js", import.meta.url), "utf8") });
  const found = await page.evaluate(async (url) => {
    const viewer = OpenSeadragon({ id: "v", tileSources: url, showNavigationControl: false, drawer: "canvas", crossOriginPolicy: "Anonymous" });
    const result = { loaded: 0, failed: 0 };
    viewer.addHandler("tile-loaded", () => ++result.loaded);
    viewer.addHandler("tile-load-failed", () => ++result.failed);
    await new Promise((done, fail) => {
      viewer.addHandler("open", done);
      viewer.addHandler("open-failed", ({ message }) => fail(new Error(message)));
    });
    const item = viewer.world.getItemAt(0), { x, y } = item.getContentSize();
    result.size = [x, y];
    const settled = () => new Promise((done) => {
      const look = () => (item.getFullyLoaded() ? done() : setTimeout(look, 50));
      setTimeout(look, 100);
    });
    await settled();
    result.whole = result.loaded;
    viewer.viewport.zoomTo(viewer.viewport.imageToViewportZoom(1), null, true);
    await settled();
    viewer.viewport.panBy(new OpenSeadragon.Point(500 / x, 300 / x), true);
    await settled();
    const canvas = document.querySelector("#v canvas"), { data } = canvas.getContext("2d").getImageData(canvas.width >> 1, canvas.height >> 1, 1, 1);
    result.drawn = data[3] === 255 && data[0] + data[1] + data[2] > 0;
    return result;
  }, url);
  if (out) await page.screenshot({ path: out });
  console.log(JSON.stringify(found));
} finally {
  await chrome.close();
}
