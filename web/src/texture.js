// Textures: noise that is drawn over a layer. docs/FORMAT.md, section 6.7.
import { Reader, SplatError } from "./bytes.js";

const WAVES = 1, LEAST_CELL = 24, MOST_CELL = 64, MAX_BANDS = 6, MAX_DIRECTIONS = 4, MAX_LAYERS = 255;

/** @typedef {{layers: number[], cell: number, bands: number, directions: number, rows: number, columns: number,
 *   slope: number, seed: number, width: number, height: number, data: Uint8Array, levels?: Uint8Array}} Texture */

// The texture in a section's payload; null of a kind that this reader does not know.
function readTexture(payload, stack) {
  const r = new Reader(payload);
  if (r.byte("a texture") !== WAVES) return null;
  const layers = [];
  for (let left = r.varint("the number of a texture's layers", MAX_LAYERS), number = -1; left > 0; --left)
    layers.push((number += 1 + r.varint("a texture's layer", MAX_LAYERS)));
  const [cell, shape, slope, seed] = r.take(4, "a texture"), directions = shape >> 4, bands = shape & 15;
  if (!layers.length) throw new SplatError("a texture is of no layer");
  if (layers.at(-1) >= stack.length) throw new SplatError(`a texture is of layer ${layers.at(-1)}, which is not there`);
  if (cell < LEAST_CELL || cell > MOST_CELL) throw new SplatError(`a texture has cells of ${cell} px, expected ${LEAST_CELL} to ${MOST_CELL}`);
  if (bands < 1 || bands > MAX_BANDS || directions < 1 || directions > MAX_DIRECTIONS)
    throw new SplatError(`a texture has ${bands} bands and ${directions} directions, expected 1 to ${MAX_BANDS} and 1 to ${MAX_DIRECTIONS}`);
  const { width, height } = stack[layers[0]].header;
  if (layers.some((n) => stack[n].header.width !== width || stack[n].header.height !== height)) throw new SplatError("a texture is of layers whose canvases differ");
  const [columns, rows] = [width, height].map((side) => Math.ceil(side / cell));
  return { layers, cell, bands, directions, rows, columns, slope, seed, width, height, data: r.rest };
}

/** Textures of a file's layers, from the payloads of their sections. @returns {Texture[]} */
export function readTextures(payloads, stack) {
  const found = payloads.map((payload) => readTexture(payload, stack)).filter(Boolean), numbers = found.flatMap(({ layers }) => layers);
  if (new Set(numbers).size < numbers.length) throw new SplatError("two textures are of one layer");
  return found;
}

/** The numbers that the native core takes of a texture where a layer is placed (Grain of web/wasm/core.cpp). */
export function grainOf({ bands, rows, columns, directions, cell, slope, seed, width, height }, { matrix, offset, extra }, gain) {
  return Float64Array.of(bands, rows, columns, directions, cell, slope, seed, gain, width, height, ...matrix, ...offset, ...extra);
}
