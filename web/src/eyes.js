// Light fields: from where they are seen, and what an eye or a lens sees. docs/FORMAT.md, section 13.
import { Reader, SplatError } from "./bytes.js";
import { axesOf } from "./shapes.js";

const UNITS = 256, MOST_VIEWS = 64, FARTHEST = 2 ** 15;
const DISPARITY = 7, COLOR = 8, FIELDS = 16; // of a splat's shape
const CUTOFF = 12.25;

/**
 * The eyes in a section's payload.
 *
 * @returns {{places: number[][], views: number, spread: number, farthest: number, grid: number[]|null}} u, v of each in
 *   steps of the grid, what the decoder takes, and columns and rows where the file says that they are a grid.
 */
export function readEyes(payload) {
  const r = new Reader(payload), form = r.byte("the eyes");
  let units = [], grid = null;
  if (form === 0) {
    const [columns, rows] = (grid = [...r.take(2, "the grid of eyes")]);
    if (!columns || !rows || columns * rows > MOST_VIEWS)
      throw new SplatError(`the grid has ${columns} x ${rows} eyes, expected 2 to ${MOST_VIEWS}`);
    const along = (i, n) => (UNITS / 2) * (2 * i - n + 1);
    for (let j = 0; j < rows; ++j) for (let i = 0; i < columns; ++i) units.push([along(i, columns), along(j, rows)]);
  } else if (form === 1) {
    const most = 4 * FARTHEST * UNITS;
    for (let n = r.varint("the number of eyes", MOST_VIEWS), u = 0, v = 0; n; --n)
      units.push([(u += r.zigzag("an eye", most)), (v += r.zigzag("an eye", most))]);
  } else throw new SplatError(`the eyes have form ${form}: a newer version may be needed`);
  r.end("the section of eyes");
  if (units.length < 2) throw new SplatError(`there are ${units.length} eyes, expected 2 to ${MOST_VIEWS}`);
  if (new Set(units.map(String)).size < units.length) throw new SplatError("two eyes are in one place");
  const sides = units.flat().map(Math.abs), farthest = Math.max(...sides);
  if (farthest >= FARTHEST * UNITS) throw new SplatError(`an eye is ${FARTHEST} steps of the grid or more from the middle`);
  const squares = sides.reduce((sum, side) => sum + side * side, 0);
  const spread = Math.max(Math.floor(Math.sqrt(Math.floor(squares / (2 * units.length)))), 1);
  return { places: units.map((place) => place.map((side) => side / UNITS)), views: units.length, spread, farthest, grid };
}

/** Between which places eyes lie: least u, least v, largest u, largest v. */
export function reachOf({ places }) {
  const [u, v] = [0, 1].map((axis) => places.map((place) => place[axis]));
  return [Math.min(...u), Math.min(...v), Math.max(...u), Math.max(...v)];
}

// Covariance of the eyes: what a lens as wide as they lie apart blurs by.
function covarianceOf({ places }) {
  const n = places.length, mean = [0, 1].map((axis) => places.reduce((sum, place) => sum + place[axis], 0) / n);
  const of = (a, b) => places.reduce((sum, place) => sum + (place[a] - mean[a]) * (place[b] - mean[b]), 0) / n;
  return [of(0, 0), of(0, 1), of(1, 1)];
}

// What an eye sees: each splat moves by its disparity.
function moved(splats, [u, v]) {
  const shapes = splats.shapes.slice();
  for (let i = 0; i < FIELDS * splats.count; i += FIELDS) {
    shapes[i] += u * shapes[i + DISPARITY];
    shapes[i + 1] += v * shapes[i + DISPARITY];
  }
  return { ...splats, shapes };
}

// What a lens sees that is sharp at a disparity: all eyes' mean, for which others are blurred.
function blurred(splats, focus, [xx, xy, yy]) {
  const shapes = splats.shapes.slice();
  for (let i = 0; i < FIELDS * splats.count; i += FIELDS) {
    const x = shapes[i + 2], y = shapes[i + 3], ratio = shapes[i + 4], away = (shapes[i + DISPARITY] - focus) ** 2;
    const across = ratio * ratio, before = ratio * (x * x + y * y);
    const sxx = x * x + across * y * y + away * xx, sxy = (1 - across) * x * y + away * xy, syy = y * y + across * x * x + away * yy;
    const root = Math.sqrt(Math.max(sxx * syy - sxy * sxy, before * before));
    shapes.set(axesOf(sxx, sxy, syy, root), i + 2);
    for (let c = 0; c < 4; ++c) shapes[i + COLOR + c] *= before / root;
  }
  return { ...splats, shapes };
}

// What was seen last of splats: who pans with an eye at rest wants the same again.
const seen = new WeakMap();

/**
 * A layer of a light field as an eye sees it, or a lens around it.
 *
 * @param {object} layer
 * @param {object} eyes Of the file.
 * @param {{eye?: number[], focus?: number|null}} [options] Place of the eye; the disparity at which a lens is sharp.
 */
export function seenBy(layer, eyes, { eye = [0, 0], focus = null } = {}) {
  if (focus === null && !eye[0] && !eye[1]) return layer;
  const key = `${eye} ${focus}`;
  const look = (splats) => (focus === null ? moved(splats, eye) : blurred(moved(splats, eye), focus, covarianceOf(eyes)));
  const shown = (splats) => {
    if (splats && seen.get(splats)?.key !== key) seen.set(splats, { key, splats: look(splats) });
    return splats && seen.get(splats).splats;
  };
  // Parts are boxed by what eyes see of them, not by what a lens does.
  const box = (part) => (focus === null ? part.box : [-Infinity, -Infinity, Infinity, Infinity]);
  return { ...layer, splats: shown(layer.splats), parts: layer.parts?.map((part) => ({ ...part, splats: shown(part.splats), box: box(part) })) };
}

const groupsOf = ({ splats, parts = [] }) => [splats, ...parts.map((part) => part.splats)].filter(Boolean);

/** The disparities between which nearly all splats of a layer lie. */
export function disparitiesOf(layer) {
  const all = Float32Array.from(groupsOf(layer).flatMap(({ shapes, count }) => Array.from({ length: count }, (_, i) => shapes[FIELDS * i + DISPARITY]))).sort();
  if (!all.length) return [0, 0];
  const at = (share) => all[Math.round(share * (all.length - 1))];
  return [at(0.01), at(0.99)];
}

/** The disparity of what an eye sees at a point of the canvas: the mean by the energy of slopes, null where nothing is. */
export function disparityAt(layer, x, y, [u, v] = [0, 0]) {
  let sum = 0, weights = 0;
  for (const { shapes, count } of groupsOf(layer))
    for (let i = 0; i < FIELDS * count; i += FIELDS) {
      const d = shapes[i + DISPARITY], dx = x - shapes[i] - u * d, dy = y - shapes[i + 1] - v * d, ax = shapes[i + 2], ay = shapes[i + 3], variance = ax * ax + ay * ay;
      const along = dx * ax + dy * ay, across = (dy * ax - dx * ay) / shapes[i + 4], q = (along * along + across * across) / (variance * variance);
      if (!(q < CUTOFF)) continue;
      const energy = shapes.subarray(i + COLOR, i + COLOR + 4).reduce((all, v) => all + v * v, 0);
      const weight = (Math.exp(-0.5 * q) * energy * (1 + shapes[i + 4] ** -2)) / variance;
      sum += weight * d;
      weights += weight;
    }
  return weights > 0 ? sum / weights : null;
}
