// Times to the first picture and to the whole one, ms from the navigation: node web/test/first.mjs FILE.splat [ROUNDS] [URL]
// The page is served from the repository, or at URL if it is given (of `splat2d view FILE`).
import { relative, resolve } from "node:path";
import { ROOT, browser, serve } from "./serve.mjs";

const [file, rounds = 5, given] = process.argv.slice(2), { server, url } = await serve(), chrome = await browser();
const address = given ?? `${url}/splat2d/web/static/index.html?src=/${relative(ROOT, resolve(file))}`;
try {
  const all = [];
  for (let i = 0; i <= rounds; ++i) {
    const page = await chrome.newPage({ viewport: { width: 1280, height: 800 } });
    await page.goto(address, { waitUntil: "commit" });
    await page.waitForFunction(() => window.splat2d?.painter.marks?.whole, null, { timeout: 60000 });
    all.push(await page.evaluate(() => splat2d.painter.marks));
    await page.close();
  }
  // The first is cold.
  const median = (key) => Math.round(all.slice(1).map((m) => m[key]).sort((a, b) => a - b)[rounds >> 1]);
  console.log(JSON.stringify({ cold: all[0], ...Object.fromEntries(Object.keys(all[0]).map((key) => [key, median(key)])) }));
} finally {
  await chrome.close();
  server.close();
}
