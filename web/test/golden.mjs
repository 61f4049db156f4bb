// Decode the golden files with a built decoder: node web/test/golden.mjs WASM... Prints one line a variant.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { withEdits } from "../src/container.js";
import { Core, compile } from "../src/core.js";
import { decodeWith, glimpse } from "../src/decode.js";

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
  const core = new Core(await compile(readFileSync(path)));
  let good = 0, bad = 0;
  for (const group of ["pictures", "layers", "clips", "clocks", "lightfields"])
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
  // The beginning of a file shows as many tiers as it holds; a window leaves out what is not seen in it.
  const whole = bytes("pictures/directory.splat"), all = await decodeWith(core, whole), { tierCounts } = all.layers[0].splats;
  const reached = new Set();
  for (let size = 100; size < whole.length; size += 97) {
    const file = await decodeWith(core, whole.subarray(0, size), { partial: true });
    const [layer] = file.layers, count = tierCounts.slice(0, file.tiers).reduce((a, b) => a + b, 0);
    if (!layer) continue;
    reached.add(file.tiers);
    expect(`${path}: splats of ${size} bytes`, layer.splats.count, count);
    const { integers, columns } = layer.splats;
    expect(`${path}: integers of ${size} bytes`, Buffer.compare(Buffer.from(integers.buffer), Buffer.from(all.layers[0].splats.integers.buffer, 0, 4 * count * columns)), 0);
  }
  expect(`${path}: tiers that were reached`, [...reached].join(), "1,2,3,4,5");
  const seen = (await decodeWith(core, bytes("pictures/parts.splat"), { window: [0, 0, 8, 8] })).layers[0].splats.count;
  expect(`${path}: a window has fewer splats`, seen > 0 && seen < all.layers[0].splats.count, true);
  // Part by part it is the same field: rows of a tier come part after part, the whole canvas's first.
  const one = (await decodeWith(core, bytes("pictures/parts.splat"))).layers[0], { data, header } = one;
  const { splats: first, boxes } = core.open(data, header), numbers = [...boxes.keys()].map((i) => i + 1).reverse();
  const later = numbers.map((n) => core.part(n, data, header)).reverse(), { columns } = first;
  const rows = [0, 1, 2, 3, 4, 5].flatMap((t) => [first, ...later].flatMap(({ integers, tierCounts }) => {
    const before = tierCounts.slice(0, t).reduce((a, b) => a + b, 0);
    return [...integers.subarray(before * columns, (before + tierCounts[t]) * columns)];
  }));
  expect(`${path}: parts`, boxes.length > 1 && first.count > 0 && rows.join() === one.splats.integers.join(), true);
  const coarse = (await decodeWith(core, bytes("pictures/parts.splat"), { coarse: true })).layers[0];
  expect(`${path}: a coarse picture`, [coarse.splats.count, coarse.parts.length].join(), [first.count, boxes.length].join());
  // A part has the same splats when it is cut off behind a tier, and a first glance has few.
  const { ends, counts } = core.index(data, header), begin = bytes("pictures/parts.splat").subarray(0, data.byteOffset + ends[3]);
  const { layers: [cut], tiers } = await decodeWith(core, begin, { partial: true, coarse: true, filled: true });
  const sum = [cut.splats, ...cut.parts.map(({ splats }) => splats)].reduce((n, { count }) => n + count, 0);
  expect(`${path}: parts of four tiers`, [tiers, cut.parts.length, sum].join(), [4, boxes.length, counts.slice(0, 4).reduce((a, b) => a + b)].join());
  const glances = [await glimpse(core, begin, {}, counts[0] + counts[1]), await glimpse(core, begin, {}, counts[0] - 1), await glimpse(core, begin.subarray(0, 40)), await glimpse(core, bytes("clips/pan.splat"))];
  expect(`${path}: glances`, glances.map((file) => file?.tiers ?? null).join(), [2, null, null, null].join());
  // Edits that are taken off and put on again are the same file.
  for (const name of ["layers/edits.splat", "clips/layers.splat"]) {
    const file = await decodeWith(core, bytes(name)), plain = withEdits(bytes(name), file, new Uint8Array());
    const bare = await decodeWith(core, plain);
    expect(`${path}: edits of ${name} after reset`, bare.steps.length, 0);
    expect(`${path}: ${name} with its edits`, Buffer.compare(withEdits(plain, bare, file.edits), bytes(name)), 0);
  }
  console.log(`${path}: ${good} golden files decode to the manifest's integers, ${bad} broken ones are refused`);
}
process.exit(failed ? 1 : 0);
