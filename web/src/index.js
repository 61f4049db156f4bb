// splat2d in a browser or in Node: files to splats, and splats to pixels.
import { Core, compile } from "./core.js";
import { decodeWith } from "./decode.js";
import { GlRenderer } from "./gl.js";
import { RasterRenderer } from "./raster.js";

export { SplatError } from "./bytes.js";
export { Decoder } from "./client.js";
export { LIMITS, parse, readHeader, withEdits } from "./container.js";
export { Core, TIERS, compile, hasSimd } from "./core.js";
export { decodeSegment, decodeWith } from "./decode.js";
export { plan, viewOf } from "./draw.js";
export { KINDS, operation, pack, stackOf, unpack } from "./edits.js";
export { disparitiesOf, disparityAt, reachOf } from "./eyes.js";
export { Timeline } from "./timeline.js";
export { GlRenderer, RasterRenderer };

let shared;

/** Decode a file on this thread; options as of `decodeWith`, and `wasm`, where the decoder is. */
export async function decode(bytes, { wasm, ...options } = {}) {
  shared ??= compile(wasm).then((module) => new Core(module));
  shared.catch(() => (shared = undefined));
  return decodeWith(await shared, bytes, options);
}

/**
 * A renderer for a canvas: by the GPU where there is WebGL2 with floats, else by the native core.
 *
 * @param {HTMLCanvasElement|OffscreenCanvas} canvas
 * @param {import("./core.js").Core} core
 */
export function rendererFor(canvas, core) {
  try {
    return new GlRenderer(canvas, { core });
  } catch {
    return new RasterRenderer(canvas, core);
  }
}
