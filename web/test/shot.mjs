// The picture of the README: node web/test/shot.mjs FILE.splat OUT.jpg
import { relative, resolve } from "node:path";
import { ROOT, browser, serve } from "./serve.mjs";

const [file, out] = process.argv.slice(2), { server, url } = await serve(), chrome = await browser();
try {
  const page = await chrome.newPage({ viewport: { width: 1100, height: 640 }, colorScheme: "dark" });
  await page.goto(`${url}/splat2d/web/static/index.html?src=/${relative(ROOT, resolve(file))}`);
  await page.waitForFunction(() => window.splat2d?.document?.bytes);
  const { x, y } = await page.locator("#stage").boundingBox();
  const at = async (...p) => (await page.evaluate((q) => splat2d.camera.toStage(q), p)).map((v, i) => v + [x, y][i]);
  await page.mouse.click(...(await at(318, 118)));
  await page.mouse.move(...(await at(318, 118)));
  await page.mouse.down();
  await page.mouse.move(...(await at(250, 150)), { steps: 3 });
  await page.mouse.move(...(await at(180, 215)), { steps: 3 });
  await page.mouse.up();
  await page.locator("#adjust-hue").fill("150");
  await page.locator("#adjust-hue").dispatchEvent("change");
  await page.waitForTimeout(1500);
  await page.screenshot({ path: out, type: "jpeg", quality: 82 });
} finally {
  await chrome.close();
  server.close();
}
