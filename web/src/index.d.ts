/** Splats of a layer, a matte or a segment. */
export interface Splats {
  count: number;
  /** Integers of a splat. */
  columns: number;
  /** Splats of each tier, coarse first. */
  tierCounts: number[];
  /** [count, columns]: colours, area, aspect, angle, iy, ix; of a clip duration, time, vy, vx; of a light field a disparity. */
  integers: Int32Array;
  /** [count, 16]: centre x, y (px); longer axis times its deviation x, y (px); ratio of deviations; precision in time
   * (frames^-2); time (frames); disparity (px a step of the eyes' grid); red, green, blue, coverage; velocity x, y (px a
   * frame); 0, 0. */
  shapes: Float32Array;
  /** Base colour: red, green, blue, coverage. */
  background: [number, number, number, number];
  channels: number;
}

export interface Header {
  width: number;
  height: number;
  channels: 1 | 2 | 3 | 4;
  stepCode: number;
  chromaStep: number;
  quality: number;
  background: number[];
}

export interface Coverage {
  header: Header;
  splats?: Splats;
  /** Of a large layer whose splats are those of the whole canvas: the parts that follow, the box each is seen in, whether finer tiers of it are to come. */
  parts?: { box: [number, number, number, number]; splats: Splats | null; coarser?: boolean }[];
  bytes?: number;
}

export interface Layer extends Coverage {
  name: string;
  /** Left, top, width, height, px; null where the file does not say. */
  box: [number, number, number, number] | null;
  moves: boolean;
  matte: Coverage | null;
  texture?: Texture;
}

/** Noise that is drawn over a layer: levels [bands, rows, columns, directions], 0 to 15. */
export interface Texture {
  bands: number;
  rows: number;
  columns: number;
  directions: number;
  /** px of the layer's canvas. */
  cell: number;
  slope: number;
  seed: number;
  width: number;
  height: number;
  levels: Uint8Array;
}

export interface Segment extends Coverage {
  layer: number;
  first: number;
  count: number;
  /** Of each frame the number of the moment that it shows; null where each has its own. */
  clock: number[] | null;
  moments: number;
  /** [moments, 2], 1/64 px. */
  path: Int32Array;
  /** Of each frame, 1/90,000 s; empty where all last as the rate says. */
  ticks: number[];
  matte: Coverage | null;
}

/** From where a light field is seen. */
export interface Eyes {
  /** u, v of each eye whose view was encoded, in steps of their grid from the middle. */
  places: [number, number][];
  views: number;
  spread: number;
  farthest: number;
  /** Columns and rows, where the file says that they are a grid. */
  grid: [number, number] | null;
}

export interface Operation {
  kind: string;
  layer: number;
  integers: number[];
  values: number[];
  name: string;
}

export interface SplatFile {
  header: Header;
  width: number;
  height: number;
  size: number;
  first: number;
  sections: { kind: number; at: number; size: number }[];
  layers: Layer[];
  segments: Segment[];
  edits: Uint8Array;
  steps: Operation[][];
  notes: string[];
  /** Of a light field. */
  eyes: Eyes | null;
  /** Frames a second of a clip; null of a picture. */
  rate: number | null;
  /** Tiers that were decoded. */
  tiers: number;
  /** False of the beginning of a file. */
  whole: boolean;
}

export interface DecodeOptions {
  /** So many, coarse first; 1 to 6. */
  tiers?: number;
  /** Left, top, right, bottom, px: parts of the canvas that are not seen in it are left out. */
  window?: [number, number, number, number];
  /** The bytes are the beginning of a file. */
  partial?: boolean;
  /** False leaves a clip's segments undecoded. */
  segments?: boolean;
  /** Of large layers only the splats that are coded for the whole canvas. */
  coarse?: boolean;
  /** With `coarse`, and all parts of them. */
  filled?: boolean;
  limits?: Partial<Limits>;
}

export interface Limits {
  maxPixels: number;
  maxSplats: number;
  maxBytes: number;
}

export interface View {
  x: number;
  y: number;
  scaleX: number;
  scaleY: number;
  width: number;
  height: number;
}

export interface Plan {
  view: View;
  items: unknown[];
}

type Source = URL | string | BufferSource | WebAssembly.Module | Response;

/** What is wrong with a file, or with what was asked for. */
export class SplatError extends Error {}
export const LIMITS: Readonly<Limits>;
export const TIERS: 6;
export function hasSimd(): boolean;
export function compile(source?: Source): Promise<WebAssembly.Module>;
export class Core {
  constructor(module: WebAssembly.Module);
}
export function decode(bytes: Uint8Array, options?: DecodeOptions & { wasm?: Source }): Promise<SplatFile>;
export function decodeWith(core: Core, bytes: Uint8Array, options?: DecodeOptions): Promise<SplatFile>;
export function decodeSegment(core: Core, segment: Segment, tiers?: number): Segment;
export function parse(bytes: Uint8Array, options?: { limits?: Partial<Limits>; partial?: boolean }): Promise<SplatFile>;
export function readHeader(bytes: Uint8Array, limits?: Limits): { header: Header; at: number };
/** The file with other edits; nothing else is coded again. */
export function withEdits(bytes: Uint8Array, file: SplatFile, edits: Uint8Array): Uint8Array;
export class Decoder {
  constructor(options?: { wasm?: Source; worker?: () => Worker });
  decode(bytes: Uint8Array, options?: DecodeOptions): Promise<SplatFile>;
  open(bytes: Uint8Array, options?: DecodeOptions): Promise<SplatFile>;
  /** Decode the parts of large layers in the file that was opened last; false when another was opened before the end. */
  fill(file: SplatFile, options?: { window?: () => [number, number, number, number] | null; arrived?: () => void }): Promise<boolean>;
  segment(index: number, tiers?: number): Promise<Segment>;
  read(stream: ReadableStream<Uint8Array>, shown?: (file: SplatFile) => void, options?: DecodeOptions & { core?: Core | Promise<Core> | null }): Promise<{ bytes: Uint8Array; file: SplatFile }>;
  bits(bytes: Uint8Array): Promise<Record<string, number>[]>;
  pixels(drawn: Plan): Promise<Uint8ClampedArray>;
  close(): void;
}
export function viewOf(file: SplatFile, scale?: number, crop?: [number, number, number, number]): View;
export function plan(file: SplatFile, view: View, options?: { time?: number; eye?: [number, number]; focus?: number | null; tiers?: number; texture?: number; steps?: Operation[][] }): Plan;
/** Least u and v, then the largest, of eyes. */
export function reachOf(eyes: Eyes): [number, number, number, number];
/** The disparities between which nearly all splats of a light field's layer lie. */
export function disparitiesOf(layer: Layer): [number, number];
/** The disparity of what an eye sees at a point of the canvas; null where nothing is. */
export function disparityAt(layer: Layer, x: number, y: number, eye?: [number, number]): number | null;
export const KINDS: Record<string, unknown[]>;
export function operation(kind: string, layer: number, values?: number[], name?: string): Operation;
export function pack(steps: Operation[][]): Uint8Array;
export function unpack(payload: Uint8Array): Operation[][];
export function stackOf(names: string[], steps?: Operation[][]): unknown[];
export class Timeline {
  constructor(file: SplatFile);
  count: number;
  duration: number;
  timeOf(frame: number): number;
  frameAt(time: number): number;
  needed(time: number): number[];
}
export interface Renderer {
  readonly kind: "webgl2" | "cpu";
  /** Draw on the canvas. */
  draw(drawn: Plan, options?: { outlines?: number }): void;
  /** Bytes [height, width, 4], alpha straight. */
  pixels(drawn: Plan): Uint8ClampedArray;
  forget(): void;
}
export class GlRenderer implements Renderer {
  constructor(canvas: HTMLCanvasElement | OffscreenCanvas, options?: { half?: boolean; core?: Core });
  readonly kind: "webgl2";
  readonly name: string;
  readonly emulated: boolean;
  draw(drawn: Plan, options?: { outlines?: number }): void;
  pixels(drawn: Plan): Uint8ClampedArray;
  /** Make the programs that pictures take, which otherwise the first picture waits for. */
  prepare(): Promise<void>;
  restore(): void;
  forget(): void;
}
export class RasterRenderer implements Renderer {
  constructor(canvas: HTMLCanvasElement | OffscreenCanvas | null, core: Core);
  readonly kind: "cpu";
  draw(drawn: Plan, options?: { outlines?: number }): void;
  pixels(drawn: Plan): Uint8ClampedArray;
  forget(): void;
}
export function rendererFor(canvas: HTMLCanvasElement | OffscreenCanvas, core: Core): Renderer;
