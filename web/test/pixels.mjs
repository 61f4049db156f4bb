// Draw files with the native core and compare with what splat2d drew: node web/test/pixels.mjs WASM CASES.json
// Cases: [{file, scale, look, crop, pixels}], pixels raw bytes [height, width, 4], alpha straight. Prints JSON.
import { readFileSync } from "node:fs";
import { Core, compile } from "../src/core.js";
import { decodeWith } from "../src/decode.js";
import { plan, viewOf } from "../src/draw.js";
import { RasterRenderer } from "../src/raster.js";
import { worst } from "./worst.mjs";

const [wasm, cases] = process.argv.slice(2);
const core = new Core(await compile(readFileSync(wasm))), renderer = new RasterRenderer(null, core);
const found = [];
for (const { file, scale, look, crop, pixels } of JSON.parse(readFileSync(cases))) {
  // Part by part, as the viewer does, so that those are left out which are not seen.
  const decoded = await decodeWith(core, new Uint8Array(readFileSync(file)), { coarse: true });
  for (const field of decoded.layers.flatMap((layer) => [layer, layer.matte]))
    field?.parts?.forEach((part, i) => (part.splats = core.part(i + 1, field.data, field.header)));
  const drawn = renderer.pixels(plan(decoded, viewOf(decoded, scale, crop), look));
  found.push({ file, scale, look, worst: worst(drawn, readFileSync(pixels)) });
}
console.log(JSON.stringify(found));
