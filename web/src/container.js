// A .splat file: header, sections, layers, and the segments of a clip. docs/FORMAT.md, sections 2, 3 and 9.
import { Reader, SplatError, Writer, crc32, inflated, joined } from "./bytes.js";
import { readEyes } from "./eyes.js";
import { readTextures } from "./texture.js";

export const SPLATS = 0x01, LAYER = 0x02, EDITS = 0x04, CLIP = 0x05, SEGMENT = 0x06, EYES = 0x07, NOTE = 0x81, TEXTURE = 0x84, INDEX = 0x87;
const OPTIONAL = 0x80;
const MAGIC = [0xc2, 0x53, 0x50, 0x4c];
const MAX_SIDE = 65535, MAX_SECTIONS = 64, MAX_LENGTH = 2 ** 31, MAX_LAYERS = 255, MAX_NAME = 64, MAX_NOTES = 65536;
const MAX_RATE = 2 ** 31 - 1, MAX_FRAMES = 64, MAX_SEGMENTS = 2 ** 20, MAX_PATH = 2 ** 20;
export const TICKS = 90000;

/** What a reader takes on at most. */
export const LIMITS = Object.freeze({ maxPixels: 2 ** 28, maxSplats: 2 ** 24 - 1, maxBytes: 2 ** 31 });

const OTHERS = [
  ["ply\n", "a PLY point cloud (3D Gaussian splats from another program)"],
  ["ply\r", "a PLY point cloud (3D Gaussian splats from another program)"],
  ["\x1f\x8b", "a gzip file (a 3D .spz splat file from another program?)"],
  ["NGSP", "a 3D .spz splat file from another program"],
  ["\x89PNG", "a PNG picture"],
  ["\xff\xd8\xff", "a JPEG picture"],
  ["RIFF", "a RIFF file (WebP picture?)"],
];

const hex = (n) => `0x${n.toString(16).padStart(2, "0")}`;

function checkMagic(data) {
  const begins = (bytes) => bytes.every((byte, i) => data[i] === byte);
  if (begins(MAGIC)) return;
  if (!data.length) throw new SplatError("not a .splat file of splat2d: it is empty (0 bytes)");
  for (const [magic, name] of OTHERS)
    if (begins([...magic].map((c) => c.charCodeAt(0)))) throw new SplatError(`not a .splat file of splat2d: this is ${name}`);
  if (data.length < 4 && MAGIC.slice(0, data.length).every((byte, i) => data[i] === byte))
    throw new SplatError(`truncated in the magic: need 4 bytes, have ${data.length}`);
  const text = (bytes) => [...bytes].map((b) => b.toString(16).padStart(2, "0")).join(" ");
  const hint = data.length % 32 ? "" : "; its length fits a 3D .splat file from another program (32 bytes a splat)";
  throw new SplatError(`not a .splat file of splat2d: it begins with ${text(data.subarray(0, 4))}, expected ${text(MAGIC)}${hint}`);
}

function readFields(r, where) {
  const channels = r.byte(where);
  if (channels < 1 || channels > 4) throw new SplatError(`channels is ${channels}, expected 1 to 4`);
  const width = r.varint("the width", MAX_SIDE), height = r.varint("the height", MAX_SIDE);
  const stepCode = r.varint("the step", 2047);
  const [chromaStep, quality] = r.take(2, where);
  return { width, height, channels, stepCode, chromaStep, quality, background: [...r.take(channels, "the background")] };
}

function checkFields(h, limits) {
  if (!h.width || !h.height) throw new SplatError(`the canvas is ${h.width} x ${h.height}: both sides must be positive`);
  if (h.width > MAX_SIDE || h.height > MAX_SIDE)
    throw new SplatError(`the canvas is ${h.width} x ${h.height} px, over the limit of ${MAX_SIDE} a side`);
  if (h.width * h.height > limits.maxPixels)
    throw new SplatError(`the canvas has ${h.width * h.height} pixels, over the limit of ${limits.maxPixels}`);
  if (h.chromaStep < 4 || h.chromaStep > 16) throw new SplatError(`the chroma step is ${h.chromaStep}, expected 4 to 16`);
  if (h.quality > 100) throw new SplatError(`the quality is ${h.quality}, expected 0 to 100`);
}

export const stepOf = (code) => 2 ** ((code - 640) / 64);

/** @returns {{header: object, at: number}} */
export function readHeader(data, limits = LIMITS) {
  checkMagic(data);
  const r = new Reader(data);
  r.take(4, "the magic");
  const version = r.byte("the header");
  if (version !== 1) throw new SplatError(`format version ${version}; this reader knows version 1`);
  const header = readFields(r, "the header");
  const check = crc32(data.subarray(0, r.at)) & 0xffff;
  const [low, high] = r.take(2, "the header's checksum");
  if ((low | (high << 8)) !== check) throw new SplatError("the header's checksum does not match: the file is damaged");
  checkFields(header, limits);
  return { header, at: r.at };
}

function readSection(data, at) {
  const head = new Reader(data.subarray(at, at + 6));
  const kind = head.byte("a section's type"), length = head.varint("a section's length", MAX_LENGTH);
  const payload = at + head.at, what = `section ${hex(kind)}`;
  const found = { kind, at, payload, end: payload + length + 4, length };
  for (const [name, need, begin] of [[what, length, payload], [`the checksum of ${what}`, 4, payload + length]])
    if (begin + need > data.length) {
      const fault = new SplatError(
        `truncated in ${name}: need ${need} bytes at offset ${begin}, have ${Math.max(data.length - begin, 0)}`);
      fault.section = found;
      throw fault;
    }
  return found;
}

function payloadOf(data, s, what) {
  const { buffer, byteOffset } = data;
  const word = new DataView(buffer, byteOffset + s.end - 4, 4).getUint32(0, true);
  if (crc32(data.subarray(s.at, s.end - 4)) !== word)
    throw new SplatError(`the checksum of ${what ?? `section ${hex(s.kind)}`} does not match: the file is damaged`);
  return data.subarray(s.payload, s.end - 4);
}

export function section(kind, payload) {
  const head = new Writer().put(kind).varint(payload.length).done();
  const body = joined([head, payload]);
  return joined([body, new Writer().word(crc32(body)).done()]);
}

export function checkName(name) {
  const size = new TextEncoder().encode(name).length;
  if (!name || size > MAX_NAME || /[\p{C}\p{Zl}\p{Zp}]|[\p{Zs}--[ ]]/v.test(name))
    throw new SplatError(`'${name}' is no name for a layer; expected 1 to ${MAX_NAME} bytes of printable text`);
  return name;
}

export function readName(r) {
  const length = r.varint("the length of a layer's name", MAX_NAME);
  try {
    return checkName(new TextDecoder("utf-8", { fatal: true }).decode(r.take(length, "a layer's name")));
  } catch (fault) {
    throw new SplatError(`a layer's name is damaged: ${fault.message}`);
  }
}

const alphaOf = (h) => h.channels === 2 || h.channels === 4;

const matteHeader = (h, stepCode, background) => ({ ...h, channels: 1, stepCode, background });

function readLayer(payload, clip, limits) {
  const r = new Reader(payload), name = readName(r);
  const box = [0, 0, 0, 0].map(() => r.varint("a layer's box", MAX_SIDE));
  const header = readFields(r, "a layer");
  checkFields(header, limits);
  if (box[0] + box[2] > header.width || box[1] + box[3] > header.height)
    throw new SplatError(`the box ${box} of layer '${name}' is not inside its canvas`);
  const flags = r.byte("a layer");
  if (flags > 3) throw new SplatError(`layer '${name}' has flags ${flags}: a newer version may be needed`);
  if (flags & 1 && alphaOf(header))
    throw new SplatError(`layer '${name}' of ${header.channels} channels has a matte besides its alpha`);
  if (flags & 2) {
    if (!clip) throw new SplatError(`layer '${name}' moves, and this is no clip`);
    r.end(`layer '${name}'`);
    return { name, header, box, moves: true, data: null, matte: flags & 1 ? { header: matteHeader(header, header.stepCode, [0]), data: null } : null };
  }
  let matte = null;
  if (flags & 1) {
    const code = r.varint("the step of a matte", 2047), background = [...r.take(1, "the background of a matte")];
    const length = r.varint("the length of a matte", MAX_LENGTH);
    matte = { header: matteHeader(header, code, background), data: r.take(length, `the matte of layer '${name}'`) };
  }
  return { name, header, box, moves: false, data: r.rest, matte };
}

function readClip(payload) {
  const r = new Reader(payload);
  const numerator = r.varint("the frame rate", MAX_RATE), denominator = r.varint("the frame rate", MAX_RATE);
  if (!numerator || !denominator) throw new SplatError(`the frame rate is ${numerator}/${denominator}, expected above 0`);
  const flags = r.byte("the clip's times");
  if (flags > 1) throw new SplatError(`the clip has flags ${flags}: a newer version may be needed`);
  r.end("the section of a clip's times");
  return { rate: numerator / denominator, own: !flags };
}

// Of each frame of a segment, the number of the moment that it shows.
function readClock(r, count, what) {
  const bits = r.take(Math.ceil(count / 8), `the clock of ${what}`), repeats = (i) => (bits[i >> 3] >> (i & 7)) & 1;
  if (repeats(0)) throw new SplatError(`the clock of ${what} repeats a frame before its first`);
  for (let i = count; i < 8 * bits.length; ++i) if (repeats(i)) throw new SplatError(`the clock of ${what} repeats frames behind its ${count}`);
  const clock = [0];
  for (let i = 1; i < count; ++i) clock.push(clock[i - 1] + 1 - repeats(i));
  if (clock[count - 1] === count - 1) throw new SplatError(`the clock of ${what} repeats no frame`);
  return clock;
}

function readSegment(payload, layers, what, limits) {
  const r = new Reader(payload);
  const layer = r.varint("a segment's layer", MAX_LAYERS), first = r.varint("a segment's first frame", MAX_RATE);
  const [count, flags] = r.take(2, what);
  if (flags > 31 || (flags & 24 && count === 1)) throw new SplatError(`${what} has flags ${flags}: a newer version may be needed`);
  if (count < 1 || count > MAX_FRAMES) throw new SplatError(`${what} has ${count} frames, expected 1 to ${MAX_FRAMES}`);
  if (!layers[layer]?.moves) throw new SplatError(`${what} is of layer ${layer}, which has no segments`);
  const { header: h, matte: cover } = layers[layer];
  if (Boolean(flags & 4) !== Boolean(cover)) throw new SplatError(`${what} and its layer do not agree on a matte`);
  const clock = flags & 16 ? readClock(r, count, what) : null, moments = clock ? clock.at(-1) + 1 : count;
  if (flags & 8 && moments === 1) throw new SplatError(`${what} has a motion field and one moment`);
  const path = new Int32Array(2 * moments);
  if (flags & 1) {
    for (let i = 0; i < 2 * moments; ++i) {
      path[i] = (i > 1 ? path[i - 2] : 0) + r.zigzag("a path", 4 * MAX_PATH);
      if (path[i] > 0 || path[i] < -MAX_PATH) throw new SplatError(`the path of ${what} is out of range`);
    }
    for (const axis of [0, 1])
      if (path.every((v, i) => i % 2 !== axis || v < 0)) throw new SplatError(`the path of ${what} is out of range`);
  }
  const ticks = [];
  for (let i = 0; flags & 2 && i < count; ++i) {
    ticks.push(r.varint("a frame's duration", MAX_RATE));
    if (!ticks[i]) throw new SplatError("a frame lasts 0 ticks, expected 1 at least");
  }
  let motion = null;
  if (flags & 8) {
    const [sizes, spacing] = r.take(2, `the motion field of ${what}`);
    if (!spacing || spacing >= moments) throw new SplatError(`the motion field of ${what} is known every ${spacing} frames`);
    const length = r.varint("the length of a motion field", MAX_LENGTH);
    motion = { cellLog2: sizes >> 4, stepLog2: sizes & 15, spacing, data: r.take(length, `the motion field of ${what}`) };
  }
  const stepCode = r.varint("the step", 2047), background = [...r.take(h.channels, "the background")];
  const reach = (axis) => Math.ceil(path.reduce((most, v, i) => (i % 2 === axis ? Math.max(most, -v) : most), 0) / 64);
  const world = { ...h, width: h.width + reach(0), height: h.height + reach(1), stepCode, background };
  checkFields({ ...world, quality: 0 }, limits);
  let matte = null;
  if (flags & 4) {
    const code = r.varint("the step of a matte", 2047), base = [...r.take(1, "the background of a matte")];
    const length = r.varint("the length of a matte", MAX_LENGTH);
    matte = { header: matteHeader(world, code, base), data: r.take(length, `the matte of ${what}`) };
  }
  return { layer, first, count, clock, moments, path, ticks, header: world, data: r.rest, matte, motion };
}

/**
 * Parse a file and check all but its coded splats.
 *
 * @param {Uint8Array} data The file, or with `partial` its beginning.
 * @param {{limits?: object, partial?: boolean}} [options]
 */
export async function parse(data, { limits = LIMITS, partial = false } = {}) {
  limits = { ...LIMITS, ...limits };
  if (data.length > limits.maxBytes) throw new SplatError(`the file has ${data.length} bytes, over the limit of ${limits.maxBytes}`);
  const { header, at: first } = readHeader(data, limits);
  const file = { header, first, size: data.length, sections: [], layers: [], segments: [], edits: new Uint8Array(), textures: [], notes: [], eyes: null, rate: null, whole: true };
  const seen = new Set();
  let own = null, others = 0;
  // The picture of the header, as each eye of a light field sees it.
  const picture = (data, rest = {}) => ({ name: "picture", header: file.eyes ? { ...header, eyes: file.eyes } : header, box: null, moves: false, data, matte: null, ...rest });
  for (let at = first; at < data.length; ) {
    let s;
    try {
      s = readSection(data, at);
    } catch (fault) {
      if (!partial) throw fault;
      // What there is of the picture: its pieces have checksums of their own.
      if (fault.section?.kind === SPLATS && !own && file.rate === null)
        own = picture(data.subarray(fault.section.payload), { cut: true });
      file.whole = false;
      break;
    }
    at = s.end;
    const payload = payloadOf(data, s), { kind } = s;
    file.sections.push({ kind, at: s.at, size: s.end - s.at });
    if (!seen.size && kind === CLIP) {
      const clip = readClip(payload);
      file.rate = clip.rate;
      if (clip.own) own = picture(null, { moves: true });
      seen.add(kind);
      continue;
    }
    if (kind !== LAYER && kind !== SEGMENT && ++others > MAX_SECTIONS) throw new SplatError(`more than ${MAX_SECTIONS} sections`);
    const names = { [SPLATS]: "splats", [EDITS]: "edits", [CLIP]: "a clip's times", [EYES]: "eyes" };
    if (names[kind] && seen.has(kind)) throw new SplatError(`two sections of ${names[kind]}, expected one`);
    seen.add(kind);
    if (kind === SEGMENT && file.rate !== null) {
      file.segments.push(payload);
      if (file.segments.length > MAX_SEGMENTS) throw new SplatError(`more than ${MAX_SEGMENTS} segments`);
    } else if (kind === EYES && file.rate === null && !own) {
      file.eyes = readEyes(payload);
    } else if (kind === SPLATS && file.rate === null) {
      own = picture(payload);
    } else if (kind === LAYER) {
      file.layers.push(readLayer(payload, file.rate !== null, limits));
    } else if (kind === EDITS) {
      if (!payload.length) throw new SplatError("the section of edits is empty");
      file.edits = payload;
    } else if (kind === SPLATS || kind === SEGMENT || kind === CLIP || kind === EYES) {
      throw new SplatError(`section ${hex(kind)} in a ${file.rate === null ? "picture" : "clip"}`);
    } else if (kind === TEXTURE) {
      file.textures.push(payload);
    } else if (kind === NOTE) {
      const text = await inflated(payload, MAX_NOTES).catch((fault) => {
        throw fault instanceof SplatError ? fault : new SplatError("the notes do not inflate to text: the file is damaged");
      });
      file.notes = new TextDecoder().decode(text).split("\n");
    } else if (!(kind & OPTIONAL)) {
      throw new SplatError(`unknown mandatory section ${hex(kind)}: a newer version of splat2d is needed`);
    }
  }
  if (own) file.layers.unshift(own);
  if (!file.layers.length && !partial) throw new SplatError("truncated: no section of splats");
  if (file.layers.length > MAX_LAYERS) throw new SplatError(`more than ${MAX_LAYERS} layers`);
  if (file.eyes && (!own || file.layers.length > 1) && !partial) throw new SplatError("a light field is one layer, of the header's");
  if (file.rate !== null && !file.layers[0]?.moves && !partial) throw new SplatError("the backmost layer of the clip has no segments");
  // Of a picture that is whole: its layers are there.
  file.textures = file.rate === null && file.whole ? readTextures(file.textures, file.layers) : [];
  file.segments = file.segments.map((payload, i) => readSegment(payload, file.layers, `segment ${i}`, limits));
  return file;
}

/** The file with other edits: all its sections bit for bit, the edits behind them, and in a clip a new index. */
export function withEdits(data, file, edits) {
  if (edits.length === file.edits.length && edits.every((byte, i) => byte === file.edits[i])) return data;
  const parts = [data.subarray(0, file.first)], entries = new Writer();
  let count = 0, segment = 0;
  const kept = file.sections.filter(({ kind }) => kind !== EDITS && kind !== INDEX);
  for (const { kind, at, size } of kept) {
    parts.push(data.subarray(at, at + size));
    entries.put(kind).varint(size);
    if (kind === SEGMENT) {
      const { layer, first, count: frames, ticks } = file.segments[segment++];
      entries.varint(layer).varint(first).put(frames).varint(ticks.reduce((a, b) => a + b, 0));
    }
    ++count;
  }
  if (edits.length) {
    parts.push(section(EDITS, edits));
    entries.put(EDITS).varint(parts.at(-1).length);
    ++count;
  }
  if (file.rate !== null) {
    const body = joined([new Writer().varint(count).done(), entries.done()]), length = body.length + 4;
    const size = 1 + new Writer().varint(length).bytes.length + length + 4;
    parts.push(section(INDEX, joined([body, new Writer().word(size).done()])));
  }
  return joined(parts);
}
