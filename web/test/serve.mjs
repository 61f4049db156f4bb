// Files of the repository over HTTP, for tests.
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".wasm": "application/wasm", ".json": "application/json" };
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export async function serve() {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://x").pathname));
    if (path === "/blank") return response.setHeader("Content-Type", "text/html").end("<!doctype html><title>test</title><canvas></canvas>");
    // A connection that is lost in the middle.
    if (path.startsWith("/lost/")) {
      const data = await readFile(join(ROOT, path.slice(5)));
      response.writeHead(200, { "Content-Length": data.length });
      response.write(data.subarray(0, Math.floor(0.9 * data.length)));
      return setTimeout(() => response.destroy(), 400);
    }
    // One that takes a second.
    if (path.startsWith("/slow/")) {
      const data = await readFile(join(ROOT, path.slice(5)));
      response.writeHead(200, { "Content-Length": data.length });
      for (let i = 0; i < 10; ++i) {
        response.write(data.subarray((i * data.length) / 10, ((i + 1) * data.length) / 10));
        await new Promise((done) => setTimeout(done, 100));
      }
      return response.end();
    }
    try {
      response.setHeader("Content-Type", TYPES[extname(path)] ?? "application/octet-stream");
      response.end(await readFile(join(ROOT, path)));
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { server, url: `http://127.0.0.1:${server.address().port}` };
}

export async function browser() {
  const { chromium } = await import("playwright-core");
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
  });
}
