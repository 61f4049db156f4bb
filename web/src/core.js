// The native decoder as WebAssembly: web/wasm/core.cpp.
import { SplatError } from "./bytes.js";
import { stepOf } from "./container.js";
import { grainOf } from "./texture.js";
import { knotsOf } from "./motion.js";

const ATTRIBUTES = ["position", "luma", "chroma", "alpha", "area", "aspect", "angle", "sign", "duration", "time", "velocity", "disparity"];

export const TIERS = 6, SHAPE_FIELDS = 16;
const MOST_KEPT = 2 ** 28; // bytes of shapes

// (module (func (result v128) (v128.const i32x4 0 0 0 0))): validates where there is SIMD.
const SIMD = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 22, 1, 20, 0, 253, 12,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11);

export const hasSimd = () => WebAssembly.validate(SIMD);

/**
 * Compile the decoder.
 *
 * @param {URL|string|BufferSource|WebAssembly.Module|Response|Promise} [source] Where it is; beside this module when left out.
 */
export async function compile(source = new URL(hasSimd() ? "./splat2d.wasm" : "./splat2d-plain.wasm", import.meta.url)) {
  source = await source;
  if (source instanceof WebAssembly.Module) return source;
  // Node fetches no files.
  const files = source instanceof URL && source.protocol === "file:" && globalThis.process?.getBuiltinModule?.("node:fs/promises");
  if (files) source = await files.readFile(source);
  else if (typeof source === "string" || source instanceof URL) source = await fetch(source);
  if (source instanceof Response) {
    if (!source.ok) throw new SplatError(`the decoder cannot be loaded: ${source.status} ${source.statusText}`);
    if (source.headers.get("Content-Type") === "application/wasm") return WebAssembly.compileStreaming(source);
    source = await source.arrayBuffer();
  }
  const bytes = ArrayBuffer.isView(source) ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength) : new Uint8Array(source);
  // Packed by gzip, as the Python package has it, from a host that does not say so.
  if (bytes[0] === 0x1f) source = await new Response(new Response(bytes).body.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  return WebAssembly.compile(source);
}

/** An instance of the decoder, which does one thing at a time. */
export class Core {
  /** @param {WebAssembly.Module} module */
  constructor(module) {
    this.module = module;
    this.#start();
  }
  #start() {
    this.wasm = new WebAssembly.Instance(this.module, {}).exports;
    this.wasm._initialize();
    this.kept = new Map();
    this.keptBytes = 0;
    this.opened = null;
  }
  #text(at) {
    const bytes = new Uint8Array(this.wasm.memory.buffer, at);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }
  // A trap leaves the instance in any state; a new one takes its place.
  #guard(work) {
    try {
      return work();
    } catch (fault) {
      if (!(fault instanceof WebAssembly.RuntimeError || fault instanceof RangeError)) throw fault;
      this.#start();
      throw new SplatError("the file needs more memory than there is");
    }
  }
  #with(data, work) {
    return this.#guard(() => {
      const at = this.wasm.reserve(Math.max(data.length, 1));
      if (!at) throw new SplatError("the file needs more memory than there is");
      try {
        new Uint8Array(this.wasm.memory.buffer, at, data.length).set(data);
        const fault = work(at, data.length);
        if (fault) throw new SplatError(`the coded splats are damaged: ${this.#text(fault)}`);
      } finally {
        this.wasm.release(at);
      }
    });
  }

  /** Counts of a field's tiers, the bytes that hold each and all before (0 without a directory), and its parts. */
  index(data, header, frames = 0) {
    this.#with(data, (at, size) => {
      this.#layout(header, frames);
      return this.wasm.index(at, size);
    });
    const tiers = [...Array(TIERS).keys()];
    return {
      counts: tiers.map((t) => this.wasm.index_count(t)),
      ends: tiers.map((t) => this.wasm.index_end(t) >>> 0),
      parts: this.wasm.index_parts(),
    };
  }

  /**
   * Decode a field.
   *
   * @param {Uint8Array} data
   * @param {object} header
   * @param {{frames?: number, tiers?: number, window?: number[]}} [options] The window: left, top, right, bottom, px.
   */
  decode(data, header, { frames = 0, tiers = TIERS, window = null } = {}) {
    this.#with(data, (at, size) => {
      this.#layout(header, frames);
      return this.wasm.decode(at, size, tiers, ...(window ?? [0, 0, 0, 0]));
    });
    return this.#decoded(header, frames);
  }
  #layout({ width, height, channels, chromaStep, stepCode, eyes }, frames) {
    const { views, spread, farthest } = eyes ?? { views: 0, spread: 0, farthest: 0 };
    this.wasm.layout(width, height, channels, chromaStep, stepCode, frames, views, spread, farthest);
  }
  #decoded(header, frames = 0) {
    return this.#guard(() => {
      const tierCounts = [...Array(TIERS).keys()].map((t) => this.wasm.count(t));
      const count = tierCounts.reduce((a, b) => a + b, 0), columns = header.channels + (frames ? 9 : header.eyes ? 6 : 5);
      const shapes = this.wasm.shape(stepOf(header.stepCode));
      const { buffer } = this.wasm.memory;
      return {
        count,
        columns,
        tierCounts,
        integers: new Int32Array(buffer, this.wasm.splats(), count * columns).slice(),
        shapes: new Float32Array(buffer, shapes, count * SHAPE_FIELDS).slice(),
        background: baseOf(header),
        channels: header.channels,
      };
    });
  }

  /**
   * Open a field that is decoded part by part, one field at a time.
   *
   * @returns {{splats: object, boxes: number[][]}} Splats of the whole canvas's part; left, top, right and bottom of
   *   the boxes that the other parts are seen in, px.
   */
  open(data, header, { tiers = TIERS } = {}) {
    this.close();
    const at = this.#guard(() => this.wasm.reserve(Math.max(data.length, 1)));
    if (!at) throw new SplatError("the file needs more memory than there is");
    this.opened = { at, data, header };
    const fault = this.#guard(() => {
      new Uint8Array(this.wasm.memory.buffer, at, data.length).set(data);
      this.#layout(header, 0);
      return this.wasm.open(at, data.length, tiers);
    });
    if (fault) throw new SplatError(`the coded splats are damaged: ${this.#text(fault)}`);
    const splats = this.#decoded(header), parts = this.wasm.opened_parts();
    return { splats, boxes: [...Array(parts).keys()].map((p) => [0, 1, 2, 3].map((side) => this.wasm.reach(p + 1, side))) };
  }
  /** Splats of a part of the open field, from 1 on; by its data, which is opened if it is not open. */
  part(number, data, header, options) {
    if (this.opened?.data !== data) this.open(data, header, options);
    const fault = this.#guard(() => this.wasm.part(number));
    if (fault) throw new SplatError(`the coded splats are damaged: ${this.#text(fault)}`);
    return this.#decoded(header);
  }
  close() {
    if (this.opened) this.wasm.release(this.opened.at);
    this.opened = null;
  }

  /** Levels of a texture. */
  levels({ data, bands, rows, columns, directions, layers }) {
    let levels = null;
    this.#with(data, (at, size) => {
      const found = this.wasm.levels(at, size, bands, rows, columns, directions);
      if (found) levels = new Uint8Array(this.wasm.memory.buffer, found, bands * rows * columns * directions).slice();
    });
    if (!levels) throw new SplatError(`the texture of layer ${layers[0]} is damaged`);
    return levels;
  }

  /** A texture's noise [height, width] where a layer is placed; null when nothing of it is seen. */
  noise(texture, placement, gain, { width, height }) {
    return this.#guard(() => {
      const at = this.#noise(texture, placement, gain, width, height);
      return at ? new Float32Array(this.wasm.memory.buffer, at, width * height).slice() : null;
    });
  }
  #noise(texture, placement, gain, width, height) {
    return this.#numbers(grainOf(texture, placement, gain), (numbers) => this.wasm.noise(this.#held(texture.levels), numbers, width, height));
  }
  /** Decode the motion field of a segment of so many frames; the header has the world's size. */
  motion({ cellLog2, stepLog2, spacing, data }, { width, height }, frames) {
    const knots = knotsOf(frames, spacing);
    this.#with(data, (at, size) =>
      this.wasm.motion(at, size, width, height, knots.intervals, knots.reference, cellLog2, stepLog2));
    return this.#guard(() => {
      const rows = this.wasm.motion_rows(), columns = this.wasm.motion_columns();
      const values = new Int32Array(this.wasm.memory.buffer, this.wasm.motion_values(), 2 * rows * columns * (knots.intervals + 1));
      return { values: values.slice(), rows, columns, knots, spacing, cell: 1 << cellLog2 };
    });
  }

  /** Bits of each attribute in what `work` decodes. */
  countBits(work) {
    this.wasm.count_bits(1);
    try {
      work();
      return Object.fromEntries(ATTRIBUTES.map((name, i) => [name, this.wasm.bits(i)]).filter(([, bits]) => bits));
    } finally {
      this.wasm.count_bits(0);
    }
  }

  /**
   * Draw a picture [height, width, 4] of sums.
   *
   * @param {number} width px
   * @param {number} height px
   * @param {number} planes 1 of grey, 3 of colours, 4 of colours and coverage.
   * @param {number[]} base Colour and coverage under all.
   * @param {{shapes: Float32Array, count: number, placement: Float64Array}[]} groups Placements by `numbersOf`.
   */
  sums(width, height, planes, base, groups) {
    return this.#guard(() => {
      this.#add(width, height, planes, base, groups);
      const at = this.wasm.sums();  // which may move the memory
      return new Float32Array(this.wasm.memory.buffer, at, width * height * 4).slice();
    });
  }

  /** The bytes of such sums, alpha straight; with a `grain` of texture, placement and gain its noise is over them. */
  bytes(width, height, planes, base, groups, grain = null) {
    return this.#guard(() => {
      this.#add(width, height, planes, base, groups);
      const noisy = grain && this.#noise(grain.texture, grain.placement, grain.gain, width, height);
      const at = this.wasm.bytes(noisy ? 1 : 0);
      return new Uint8ClampedArray(this.wasm.memory.buffer, at, width * height * 4).slice();
    });
  }

  #add(width, height, planes, base, groups) {
    this.wasm.begin(width, height, planes, ...base);
    for (const { shapes, count, placement } of groups) {
      const at = this.#held(shapes);
      this.#numbers(placement, (numbers) => this.wasm.add(at, count, numbers));
    }
  }

  #numbers(values, work) {
    const at = this.wasm.reserve(8 * values.length);
    new Float64Array(this.wasm.memory.buffer, at, values.length).set(values);
    const result = work(at);
    this.wasm.release(at);
    return result;
  }

  // Shapes and levels stay where they were put until there are too many of them.
  #held(shapes) {
    const old = this.kept.get(shapes);
    if (old) return old;
    if (this.keptBytes + shapes.byteLength > MOST_KEPT) this.drop();
    const at = this.wasm.reserve(Math.max(shapes.byteLength, 1));
    if (!at) throw new SplatError("the picture needs more memory than there is");
    new shapes.constructor(this.wasm.memory.buffer, at, shapes.length).set(shapes);
    this.kept.set(shapes, at);
    this.keptBytes += shapes.byteLength;
    return at;
  }

  /** Let go of all shapes that are held. */
  drop() {
    for (const at of this.kept.values()) this.wasm.release(at);
    this.kept.clear();
    this.keptBytes = 0;
  }
}

/** The base colour as renderers take it: red, green, blue, coverage. */
export function baseOf({ channels, background }) {
  const v = background.map((byte) => byte / 255);
  return channels <= 2 ? [v[0], v[0], v[0], v[1] ?? 0] : [v[0], v[1], v[2], v[3] ?? 0];
}
