// Build the page: node build.mjs [OUT_DIR], which is splat2d/web/static when left out; or with --wasm put the decoder
// beside the package's modules. The decoder is that of `make wasm`.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const here = new URL("./", import.meta.url), at = (path) => new URL(path, here).pathname;
const wasm = at("../build/wasm/");
const common = { bundle: true, minify: true, target: "es2023", logLevel: "warning", legalComments: "none" };

/** `worker:PATH` is the text of that module, bundled. */
const workers = {
  name: "workers",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^worker:/ }, ({ path, resolveDir }) => ({ path: new URL(path.slice(7), `file://${resolveDir}/`).pathname, namespace: "worker" }));
    onLoad({ filter: /.*/, namespace: "worker" }, async ({ path }) => {
      const { outputFiles: [{ text }] } = await build({ ...common, entryPoints: [path], format: "iife", write: false, define: { "import.meta.url": '"file:///"' } });
      return { contents: text, loader: "text" };
    });
  },
};

if (process.argv.includes("--wasm")) {
  for (const name of ["splat2d.wasm", "splat2d-plain.wasm"]) await copyFile(wasm + name, at(`src/${name}`));
} else {
  const out = process.argv[2] ? `${process.argv[2]}/` : at("../splat2d/web/static/");
  await mkdir(out, { recursive: true });
  await build({ ...common, entryPoints: [at("viewer/page.js")], format: "esm", outfile: `${out}viewer.js`, plugins: [workers], define: { "import.meta.url": '"file:///"' } });
  await build({ ...common, entryPoints: [at("viewer/viewer.css")], outfile: `${out}viewer.css` });
  await copyFile(at("viewer/index.html"), `${out}index.html`);
  if (process.argv[2]) process.exit();
  const packed = gzipSync(await readFile(`${wasm}splat2d.wasm`), { level: 9 });
  packed[9] = 255; // the operating system, which is of no matter
  await writeFile(`${out}splat2d.wasm.gz`, packed);
}
