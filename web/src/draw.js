// What is drawn where: a plan of sums of splats, one for each layer, that every renderer follows.
// docs/FORMAT.md, sections 6.4 and 6.6.
import { isPlaced, isRecolored, stackOf } from "./edits.js";
import { seenBy } from "./eyes.js";
import { ridden } from "./motion.js";
import { Timeline, shiftAt } from "./timeline.js";

/**
 * A window of the canvas at a size: target pixel (i, j) samples (x + (i + 0.5) / scaleX, y + (j + 0.5) / scaleY).
 *
 * @typedef {{x: number, y: number, scaleX: number, scaleY: number, width: number, height: number}} View
 */

/** The view of a rectangle of the canvas at a scale, as `splat2d decode` takes it. @returns {View} */
export function viewOf(file, scale = 1, crop = [0, 0, file.width, file.height]) {
  const [x, y, w, h] = crop;
  const side = (length) => Math.max(Math.floor(length * scale + 0.5), 1);
  return { x, y, scaleX: side(w) / w, scaleY: side(h) / h, width: side(w), height: side(h) };
}

// The positive part of 1 - P P^T over 12, as xx, xy, yy.
function footprint([a, b, c, d]) {
  const xx = 1 - (a * a + b * b), xy = -(a * c + b * d), yy = 1 - (c * c + d * d);
  const middle = (xx + yy) / 2, radius = Math.hypot((xx - yy) / 2, xy);
  const high = Math.max(middle + radius, 0), low = Math.max(middle - radius, 0);
  if (high === low || radius === 0) return [high / 12, 0, high / 12];
  // high and low on the eigenvectors: low 1 + (high - low) (M - (middle - radius) 1) / (2 radius).
  const f = (high - low) / (2 * radius);
  return [low + f * (xx - middle + radius), f * xy, low + f * (yy - middle + radius)].map((v) => v / 12);
}

/** Where edits and a view put a layer: target = matrix m + offset, and what is added to covariances, target px^2. */
export function placementOf({ matrix, offset, blur }, view) {
  const { scaleX: sx, scaleY: sy } = view;
  const p = [matrix[0] * sx, matrix[1] * sx, matrix[2] * sy, matrix[3] * sy];
  const f = footprint(p);
  return {
    matrix: p,
    offset: [(offset[0] - view.x) * sx, (offset[1] - view.y) * sy],
    blur: [blur[0] * sx * sx, blur[1] * sx * sy, blur[3] * sy * sy],
    extra: [f[0] + blur[0] * sx * sx, f[1] + blur[1] * sx * sy, f[2] + blur[3] * sy * sy],
  };
}

// The edges of a layer's canvas in target px: distance = normal p - start; deviation of the blur; width.
function edgesOf({ matrix: [a, b, c, d], offset: [x, y], blur: [bxx, bxy, byy] }, size) {
  const det = a * d - b * c;
  return [[d / det, -b / det], [-c / det, a / det]].map(([u, v], i) => {
    const length = Math.hypot(u, v);
    return {
      normal: [u / length, v / length],
      start: (u * x + v * y) / length,
      sigma: Math.sqrt(Math.max(u * u * bxx + 2 * u * v * bxy + v * v * byy, 0)) / length,
      width: size[i] / length,
    };
  });
}

const firstOf = (splats, tiers) => (tiers >= 6 ? splats.count : splats.tierCounts.slice(0, tiers).reduce((a, b) => a + b, 0));

// The box of a layer's canvas, px, that is seen in a view; somewhat larger, for what is blurred into it.
function seenOf({ matrix: [a, b, c, d], offset, extra }, { width, height }) {
  const det = a * d - b * c, margin = 1 + 3.5 * Math.sqrt(Math.max(extra[0], extra[2])), xs = [], ys = [];
  for (const u of [-margin, width + margin])
    for (const v of [-margin, height + margin]) {
      xs.push((d * (u - offset[0]) - b * (v - offset[1])) / det);
      ys.push((a * (v - offset[1]) - c * (u - offset[0])) / det);
    }
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}
const meets = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

// The splats of a field that are there and may be seen: of all of it, or of the whole canvas and of parts.
const groupsIn = ({ splats, parts = [] }, seen) => [splats, ...parts.filter((part) => part.splats && meets(part.box, seen)).map((part) => part.splats)];

// A sum: groups of splats, the base colour, and how many planes it takes: one of grey, three of colours, a fourth of coverage.
function sumOf(parts, tiers, seen) {
  const base = [0, 0, 0, 0];
  let planes = 1;
  for (const { field: { splats }, weight } of parts) {
    splats.background.forEach((v, i) => (base[i] += v * weight));
    planes = [0, 1, 4, 3, 4][splats.channels];
  }
  return {
    base,
    planes,
    groups: parts.flatMap(({ field, weight, time = 0, shift = [0, 0] }) =>
      groupsIn(field, seen).map((splats) => ({ splats, count: firstOf(splats, tiers), gain: weight, time, shift }))),
  };
}

// A segment's splats where its motion field has them at a local time.
function shownBy(own, at) {
  const ride = (splats) => splats && ridden(splats, own.motion, at);
  return { ...own, splats: ride(own.splats), matte: own.matte && { ...own.matte, splats: ride(own.matte.splats) } };
}

function partsOf(file, timeline, source, { time = 0, eye, focus }) {
  const layer = file.layers[source];
  if (!layer.moves) return layer.splats ? [{ own: file.eyes ? seenBy(layer, file.eyes, { eye, focus }) : layer, weight: 1 }] : [];
  return timeline.shown(source, time).map(({ segment, at, weight }) => {
    const own = file.segments[segment];
    return { own: own.motion && own.splats ? shownBy(own, at) : own, weight, time: at, shift: shiftAt(own, at) };
  }).filter(({ own }) => own.splats);
}

export const hasAlpha = (layer) => Boolean(layer.matte) || layer.header.channels === 2 || layer.header.channels === 4;

/**
 * What is drawn.
 *
 * @param {object} file As `decode` gives it.
 * @param {View} view
 * @param {{time?: number, eye?: number[], focus?: number|null, tiers?: number, texture?: number, steps?: object[][], stack?: object[], timeline?: Timeline}} [options]
 *   Time in s; of a light field the place of the eye, in steps of its grid, and the disparity at which a lens there is
 *   sharp; a factor of the strength of textures; edits in place of those of the file; a stack that was made of them.
 */
export function plan(file, view, options = {}) {
  const { tiers = 6, texture = 1, steps = file.steps } = options;
  const stack = options.stack ?? stackOf(file.layers.map(({ name }) => name), steps);
  const timeline = options.timeline ?? (file.rate === null ? null : new Timeline(file));
  const visible = stack.filter(({ visible }) => visible);
  const layers = visible.map((state) => ({ state, layer: file.layers[state.source], parts: partsOf(file, timeline, state.source, options) }))
    .filter(({ parts }) => parts.length);
  const [only] = layers, alone = layers.length === 1 && !isPlaced(only.state) && !isRecolored(only.state) && only.state.opacity === 1 &&
    !only.layer.matte && only.layer.header.width === file.width && only.layer.header.height === file.height;
  const items = layers.map(({ state, layer, parts }) => {
    const placement = placementOf(state, view), covered = hasAlpha(layer), seen = seenOf(placement, view);
    const pick = (matte) => parts.map(({ own, ...rest }) => ({ field: matte ? own.matte : own, ...rest })).filter(({ field }) => field?.splats);
    return {
      state,
      layer,
      placement,
      sum: sumOf(pick(false), tiers, seen),
      cover: layer.matte ? sumOf(pick(true), tiers, seen) : null,
      covered,
      edges: covered && !alone ? edgesOf(placement, [layer.header.width, layer.header.height]) : null,
      recolored: isRecolored(state),
      grain: layer.texture && texture > 0 && tiers >= 6 ? { texture: layer.texture, gain: texture } : null,
    };
  });
  // What lies under a layer that covers all need not be drawn.
  const bottom = items.findLastIndex(({ state, covered }) => !covered && state.opacity === 1);
  return { view, items: items.slice(Math.max(bottom, 0)) };
}

/** The nine numbers and more that the native core takes of a group of splats (web/wasm/draw.hpp). */
export function numbersOf({ matrix, offset, extra }, { time, shift, gain }) {
  return Float64Array.of(...matrix, ...offset, ...extra, time, ...shift, gain);
}
