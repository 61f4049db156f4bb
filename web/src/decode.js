// Files to splats, layers and segments.
import { SplatError } from "./bytes.js";
import { LIMITS, parse } from "./container.js";
import { TIERS } from "./core.js";
import { stackOf, unpack } from "./edits.js";

// Splats of one moment have no courses.
const framesOf = ({ moments }) => (moments > 1 ? moments : 0);

function field(core, part, { coarse = false, filled = false, ...options }) {
  const { data, header } = part;
  if (!data) return part;
  if (coarse && core.index(data, header).parts) {
    const { splats, boxes } = core.open(data, header, options);
    return { ...part, splats, parts: boxes.map((box, i) => ({ box, splats: filled ? core.part(i + 1, data, header, options) : null })) };
  }
  return { ...part, splats: core.decode(part.data, part.header, options) };
}

// Tiers that the bytes of a cut-off field hold whole.
function tiersThere(core, layer) {
  try {
    const { ends } = core.index(layer.data, layer.header);
    return ends.filter((end) => end && end <= layer.data.length).length;
  } catch {
    return 0;
  }
}

// Tiers that hold at most so many splats.
function tiersWithin(core, layers, most) {
  const parts = layers.flatMap((layer) => [layer, layer.matte]).filter((part) => part?.data);
  const counts = parts.map(({ data, header }) => core.index(data, header).counts);
  let left = most, tiers = 0;
  while (tiers < TIERS && (left -= counts.reduce((n, own) => n + own[tiers], 0)) >= 0) ++tiers;
  return tiers;
}

/**
 * Decode a picture's beginning so coarsely that it does not take long.
 *
 * @param {import("./core.js").Core} core
 * @param {Uint8Array} bytes The file, or its beginning.
 * @param {object} [limits] As of `decodeWith`.
 * @param {number} [most] Splats.
 * @returns {Promise<object|null>} The file as `decodeWith` gives it; null where there is no such picture (yet).
 */
export async function glimpse(core, bytes, limits = {}, most = 16384) {
  try {
    const { layers, rate } = await parse(bytes, { limits, partial: true }), tiers = tiersWithin(core, layers, most);
    if (!layers.length || !tiers || rate !== null) return null;
    const file = await decodeWith(core, bytes, { limits, tiers, partial: true, coarse: true });
    return file.layers.length ? file : null;
  } catch (fault) {
    if (!(fault instanceof SplatError)) throw fault;
    return null;
  }
}

/** How much there is of a file's beginning: tiers of a picture, or segments of a clip. */
export const reachOf = ({ rate, layers, tiers, segments }) =>
  rate === null ? Math.min(layers.length, 1) * tiers : segments.filter(({ layer }) => !layer).length;

/**
 * Decode a file.
 *
 * @param {import("./core.js").Core} core
 * @param {Uint8Array} bytes The file, or with `partial` its beginning.
 * @param {{tiers?: number, window?: number[], partial?: boolean, limits?: object, segments?: boolean, coarse?: boolean, filled?: boolean}} [options]
 *   `tiers` coarse first, all when left out; a `window` left, top, right, bottom (px of the canvas) leaves out parts of
 *   the canvas that are not seen in it; with `segments: false` those of a clip are not decoded; with `coarse` a layer
 *   of many splats has but those that are coded for the whole canvas, and `parts` that are `filled` or are to be.
 */
export async function decodeWith(core, bytes, options = {}) {
  const { tiers = TIERS, window = null, partial = false, limits = {}, segments = true, coarse = false, filled = false } = options;
  if (!Number.isInteger(tiers) || tiers < 1 || tiers > TIERS) throw new SplatError(`tiers is ${tiers}, expected 1 to ${TIERS}`);
  const file = await parse(bytes, { limits, partial });
  let steps;
  try {
    steps = file.edits.length ? unpack(file.edits) : [];
    stackOf(file.layers.map(({ name }) => name), steps);
  } catch (fault) {
    throw new SplatError(/^(unknown edit|more than|truncated)/.test(fault.message) ? fault.message : `the edits are damaged: ${fault.message}`);
  }
  const most = Math.min(limits.maxSplats ?? LIMITS.maxSplats, LIMITS.maxSplats);
  let total = 0;
  const count = (part, frames) => {
    if (!part?.data || part.cut) return;
    const index = core.index(part.data, part.header, frames);
    total += index.counts.reduce((a, b) => a + b, 0);
    if (total > most) throw new SplatError(`the layers have ${total} splats, over the limit of ${most}`);
  };
  for (const layer of file.layers) [layer, layer.matte].forEach((part) => count(part, 0));
  const layers = [];
  let reached = tiers;
  for (const layer of file.layers) {
    let wanted = tiers;
    if (layer.cut) {
      wanted = Math.min(tiers, tiersThere(core, layer));
      reached = wanted;
      if (!wanted) continue;
    }
    const still = { tiers: wanted, window: steps.length ? null : window, coarse, filled };
    layers.push({ ...field(core, layer, still), matte: layer.matte && field(core, layer.matte, still) });
  }
  // What is left out of a coarser picture is more than its texture.
  if (reached === TIERS)
    for (const { layers: numbers, ...texture } of file.textures) {
      const decoded = { ...texture, data: null, levels: core.levels({ ...texture, layers: numbers }) };
      for (const n of numbers) layers[n].texture = decoded;
    }
  const decoded = (segment) => {
    total = 0;
    [segment, segment.matte].forEach((part) => count(part, framesOf(segment)));
    return decodeSegment(core, segment, tiers);
  };
  return {
    ...file,
    width: file.header.width,
    height: file.header.height,
    layers,
    steps,
    tiers: reached,
    segments: segments ? file.segments.map(decoded) : file.segments,
  };
}

/** Decode one segment of a file that was decoded without its segments. */
export function decodeSegment(core, segment, tiers = TIERS) {
  const moving = { frames: framesOf(segment), tiers };
  const motion = segment.motion && core.motion(segment.motion, segment.header, segment.moments);
  return { ...field(core, segment, moving), matte: segment.matte && field(core, segment.matte, moving), motion };
}
