// Times to the first picture and to the whole one, ms from the navigation:
// node web/test/first.mjs FILE.splat [--rounds N] [--cold] [--renderer R] [--trace] [URL ...]
// The page is served from the repository, or is at each URL in turn (of `splat2d view FILE`). With --cold each page has
// a new Chromium; else the first round is left out. With --trace it is also told when what was done.
import { relative, resolve } from "node:path";
import { parseArgs } from "node:util";
import { ROOT, browser, serve } from "./serve.mjs";

const { values, positionals: [file, ...given] } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", default: "7" }, cold: { type: "boolean" }, renderer: { type: "string", default: "" }, trace: { type: "boolean" } },
});
const { server, url } = await serve();
const addresses = given.length ? given : [`${url}/splat2d/web/static/index.html?renderer=${values.renderer}&src=/${relative(ROOT, resolve(file))}`];

// Marks what takes time, in a page.
function traced() {
  const did = (name, begin) => performance.measure(`splat2d-${name}`, { start: begin });
  const wrap = (owner, key, name) => {
    const old = owner[key];
    owner[key] = function (...values) {
      const begin = performance.now(), result = old.apply(this, values), told = typeof name === "function" ? name(values) : name;
      if (result?.then) result.then(() => did(told, begin));
      else did(told, begin);
      return result;
    };
  };
  wrap(WebAssembly, "compile", "compile");
  wrap(WebAssembly, "compileStreaming", "compile");
  for (const canvas of [HTMLCanvasElement, OffscreenCanvas]) wrap(canvas.prototype, "getContext", ([kind]) => `context-${kind}`);
  wrap(WebGL2RenderingContext.prototype, "getProgramParameter", "link");
  WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
    construct(kind, values) {
      const begin = performance.now(), made = Reflect.construct(kind, values);
      did("instance", begin);
      return made;
    },
  });
  window.Worker = class extends Worker {
    #asked = new Map();
    constructor(...values) {
      super(...values);
      performance.mark("splat2d-worker");
      this.addEventListener("message", ({ data: { id } }) => did(...this.#asked.get(id)));
    }
    postMessage(message, ...rest) {
      this.#asked.set(message.id, [`worker-${message.call}`, performance.now()]);
      super.postMessage(message, ...rest);
    }
  };
}

// Processors' time of all processes, ms, by their kind.
async function spent(session) {
  const told = { all: 0 };
  for (const { type, cpuTime } of (await session.send("SystemInfo.getProcessInfo")).processInfo) {
    told[type] = (told[type] ?? 0) + 1000 * cpuTime;
    told.all += 1000 * cpuTime;
  }
  return told;
}

async function measure(chrome, address) {
  const session = await chrome.newBrowserCDPSession(), page = await chrome.newPage({ viewport: { width: 1280, height: 800 } });
  if (values.trace) await page.addInitScript(traced);
  const before = await spent(session), inspect = await page.context().newCDPSession(page);
  // Not by what playwright puts into a page to wait for something: that takes as long as some of what is measured.
  const there = (mark) => inspect.send("Runtime.evaluate", { awaitPromise: true, expression: `new Promise((done) =>
    new PerformanceObserver((list) => list.getEntriesByName("splat2d-${mark}").length && done()).observe({ type: "mark", buffered: true }))` });
  await page.goto(address, { waitUntil: "commit" });
  await there("first");
  // All processes' time until about the first picture does not depend on what else the machine does.
  const after = await spent(session), processors = Object.keys(after).map((kind) => [`processor-${kind}`, [Math.round(after[kind] - (before[kind] ?? 0))]]);
  await there("whole");
  const found = await page.evaluate(() => {
    const told = {}, tell = (name, { startTime, duration }) => (told[name] ??= [startTime, ...(duration ? [startTime + duration] : [])].map(Math.round));
    for (const entry of performance.getEntries()) {
      if (entry.name.startsWith("splat2d-")) tell(entry.name.slice(8), entry);
      else if (entry.entryType === "resource") tell(entry.name.split("/").at(-1), entry);
      else if (entry.entryType === "navigation") tell("page", { startTime: 0, duration: entry.responseEnd });
      else if (entry.entryType === "paint") tell(entry.name, entry);
    }
    return told;
  });
  await page.close();
  return { ...Object.fromEntries(processors), ...found };
}

const all = addresses.map(() => []);
const median = (found) => found.sort((a, b) => a - b)[found.length >> 1];
let chrome = values.cold ? null : await browser();
try {
  for (let round = values.cold ? 1 : 0; round <= Number(values.rounds); ++round)
    for (const [i, address] of addresses.entries()) {
      if (values.cold) chrome = await browser();
      const found = await measure(chrome, address);
      if (round) all[i].push(found);
      if (values.cold) await chrome.close();
    }
  for (const [i, address] of addresses.entries()) {
    const keys = values.trace ? Object.keys(all[i][0]) : ["processor-all", "first", "whole"];
    // Medians of when it began and ended; with one value alone, the least.
    const told = keys.map((key) => {
      const times = all[i].filter((found) => found[key]).map((found) => found[key]), last = times[0].length - 1;
      return [key, [...new Set([0, last])].map((at) => median(times.map((t) => t[at]))), last ? [] : Math.min(...times.flat())];
    });
    console.log(address);
    for (const [key, middle, least] of told.sort((a, b) => a[1][0] - b[1][0])) console.log(`  ${key}: ${middle.join(" to ")}${values.trace ? "" : `, least ${least}`}`);
  }
} finally {
  if (!values.cold) await chrome.close();
  server.close();
}
