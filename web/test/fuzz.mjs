// Damaged files are refused in words, and nothing else happens: node web/test/fuzz.mjs WASM [ROUNDS]
import { readFileSync, readdirSync } from "node:fs";
import { SplatError } from "../src/bytes.js";
import { section } from "../src/container.js";
import { Core, compile } from "../src/core.js";
import { decodeWith } from "../src/decode.js";
import { plan, viewOf } from "../src/draw.js";

const [wasm, rounds = 40] = process.argv.slice(2), core = new Core(await compile(readFileSync(wasm)));
const golden = new URL("../../tests/golden/", import.meta.url), said = new Map();
let seed = 7;
const random = (n) => ((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32) * n | 0;

async function look(bytes, name) {
  const end = await decodeWith(core, bytes).then((file) => {
    plan(file, viewOf(file, 0.5));
    return "decoded";
  }).catch((fault) => {
    if (!(fault instanceof SplatError)) throw new Error(`${name}: ${fault.stack}`);
    return fault.message;
  });
  const kind = end.replace(/[\d,.]+/g, "#");
  said.set(kind, (said.get(kind) ?? 0) + 1);
}

for (const folder of ["pictures", "layers", "clips", "clocks", "lightfields"])
  for (const name of readdirSync(new URL(folder, golden))) {
    const bytes = new Uint8Array(readFileSync(new URL(`${folder}/${name}`, golden)));
    for (let size = 0; size < Math.min(bytes.length, 200); ++size) await look(bytes.subarray(0, size), name);
    const { sections, first } = await decodeWith(core, bytes);
    for (let i = 0; i < rounds; ++i) {
      await look(Object.assign(bytes.slice(), { [random(bytes.length)]: random(256) }), name);
      // The same with checksums that are right.
      const parts = [bytes.subarray(0, first)];
      const hit = random(sections.length);
      sections.forEach(({ kind, at, size }, n) => {
        const head = size - 5 < 128 + 1 ? 2 : size - 6 < 2 ** 14 + 1 ? 3 : 4, payload = bytes.slice(at + head, at + size - 4);
        if (n === hit && payload.length) for (let k = 0; k <= random(3); ++k) payload[random(random(2) ? Math.min(payload.length, 24) : payload.length)] = random(256);
        parts.push(section(kind, payload));
      });
      await look(Uint8Array.from(parts.flatMap((part) => [...part])), name);
    }
  }
const lines = [...said].sort((a, b) => b[1] - a[1]).map(([kind, n]) => `${n} ${kind}`);
console.log(lines.join("\n"));
if (said.has("the file needs more memory than there is")) process.exitCode = 1;
