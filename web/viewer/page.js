// The page as it is built: decoder and worker beside it, or in it.
import { start } from "./main.js";
import WORKER from "worker:../src/worker.js";

const element = (id) => document.getElementById(id);
const unpacked = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const inline = element("splat2d-wasm"), data = element("splat2d-data"), server = element("splat2d-server");

// A page from a file has no origin, and can start a worker from its own bytes only.
const source = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));

start({
  wasm: inline ? unpacked(inline.textContent) : new URL("splat2d.wasm.gz", document.baseURI),
  worker: () => new Worker(source),
  server: server ? JSON.parse(server.textContent) : null,
  data: data ? { name: data.dataset.name, bytes: unpacked(data.textContent) } : null,
});
