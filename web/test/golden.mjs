// Decode the golden files with a built decoder: node web/test/golden.mjs WASM... Prints one line a variant.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Core } from "../src/core.js";
import { decodeWith } from "../src/decode.js";

const golden = new URL("../../tests/golden/", import.meta.url);
const manifest = JSON.parse(readFileSync(new URL("manifest.json", golden)));
const bytes = (name) => new Uint8Array(readFileSync(new URL(name, golden)));

/** All fields of a file in the manifest's order: layers, then segments, each matte behind its colours. */
export function integersOf(file) {
  return [...file.layers, ...file.segments].flatMap((part) => [part.splats, part.matte?.splats]).filter(Boolean).map(({ integers }) => integers);
}

let failed = 0;
function expect(what, found, wanted) {
  if (found === wanted) return;
  ++failed;
  console.error(`${what}: found ${found}, expected ${wanted}`);
}

for (const path of process.argv.slice(2)) {
  const core = new Core(new WebAssembly.Module(readFileSync(path)));
  let good = 0, bad = 0;
  for (const group of ["pictures", "layers", "clips"])
    for (const [name, entry] of Object.entries(manifest[group])) {
      try {
        const file = await decodeWith(core, bytes(name));
        const hash = createHash("sha256"), integers = integersOf(file);
        for (const q of integers) hash.update(new Uint8Array(q.buffer));
        expect(`${path}: integers of ${name}`, hash.digest("hex"), entry.integers_sha256);
        expect(`${path}: splats of ${name}`, [...file.layers, ...file.segments].reduce((n, l) => n + (l.splats?.count ?? 0) + (l.matte?.splats?.count ?? 0), 0), entry.splats);
      } catch (fault) {
        expect(`${path}: ${name}`, fault.stack, "no error");
      }
      ++good;
    }
  for (const [name, entry] of Object.entries(manifest.broken)) {
    const said = await decodeWith(core, bytes(name)).then(() => "nothing", (fault) => fault.message);
    expect(`${path}: refusal of ${name}`, said, entry.error);
    ++bad;
  }
  console.log(`${path}: ${good} golden files decode to the manifest's integers, ${bad} broken ones are refused`);
}
process.exit(failed ? 1 : 0);
