// Times to the first picture and to the whole one, ms from the navigation: node web/test/first.mjs FILE.splat [ROUNDS] [URL] [RENDERER]
// The page is served from the repository, or at URL if it is given (of `splat2d view FILE`).
import { relative, resolve } from "node:path";
import { ROOT, browser, serve } from "./serve.mjs";

const [file, rounds = 5, given, renderer = ""] = process.argv.slice(2), { server, url } = await serve(), chrome = await browser();
const address = given || `${url}/splat2d/web/static/index.html?renderer=${renderer}&src=/${relative(ROOT, resolve(file))}`;
try {
  const all = [], session = await chrome.newBrowserCDPSession();
  const spent = async () => (await session.send("SystemInfo.getProcessInfo")).processInfo.reduce((sum, { cpuTime }) => sum + 1000 * cpuTime, 0);
  for (let i = 0; i <= rounds; ++i) {
    const page = await chrome.newPage({ viewport: { width: 1280, height: 800 } }), before = await spent();
    await page.goto(address, { waitUntil: "commit" });
    await page.waitForFunction(() => performance.getEntriesByName("splat2d-first").length, null, { timeout: 60000 });
    const processor = Math.round((await spent()) - before);
    await page.waitForFunction(() => performance.getEntriesByName("splat2d-whole").length, null, { timeout: 60000 });
    // All processes' time until about the first picture does not depend on what else the machine does.
    all.push(await page.evaluate((processor) => ({ processor, ...Object.fromEntries(performance.getEntriesByType("mark").map(({ name, startTime }) => [name.slice(8), Math.round(startTime)])) }), processor));
    await page.close();
  }
  // Medians and least; the first is cold.
  const sorted = (key) => all.slice(1).map((m) => m[key]).sort((a, b) => a - b);
  console.log(JSON.stringify({ cold: all[0], ...Object.fromEntries(Object.keys(all[0]).map((key) => [key, [sorted(key)[rounds >> 1], sorted(key)[0]]])) }));
} finally {
  await chrome.close();
  server.close();
}
