// Edits: operations on layers, their bytes, and what they make of a layer. docs/FORMAT.md, sections 3.2 and 6.6.
import { Reader, SplatError, Writer } from "./bytes.js";
import { checkName, readName } from "./container.js";

const MAX_OPERATIONS = 2048, MAX_LAYERS = 255;
const point = [[1000, -1e6, 1e6], [1000, -1e6, 1e6]], degrees = [1000, -1e6, 1e6], factor = [10000, 0, 100];

/** Code and parameters (unit, least, most) of all operations, by name. */
export const KINDS = {
  move: [0x01, point],
  rotate: [0x02, [degrees, ...point]],
  scale: [0x03, [[10000, -1e3, 1e3], [10000, -1e3, 1e3], ...point]],
  blur: [0x04, [[1000, 0, 1e4]]],
  opacity: [0x08, [[10000, 0, 1]]],
  brightness: [0x09, [factor]],
  contrast: [0x0a, [factor]],
  saturation: [0x0b, [factor]],
  hue: [0x0c, [degrees]],
  tint: [0x0d, [[1, 0, 255], [1, 0, 255], [1, 0, 255], [10000, 0, 1]]],
  hide: [0x10, []],
  show: [0x11, []],
  raise: [0x12, []],
  lower: [0x13, []],
  "to-front": [0x14, []],
  "to-back": [0x15, []],
  duplicate: [0x18, [], true],
  rename: [0x19, [], true],
  delete: [0x1a, []],
};
const NAMES = Object.fromEntries(Object.entries(KINDS).map(([name, [code]]) => [code, name]));

/** The operation of these values, rounded to what a file can hold. */
export function operation(kind, layer, values = [], name = "") {
  const [, numbers, named] = KINDS[kind];
  const integers = numbers.map(([unit, low, high], i) => {
    if (!(values[i] >= low && values[i] <= high)) throw new SplatError(`${kind}: a number is ${values[i]}, expected ${low} to ${high}`);
    return Math.round(values[i] * unit);
  });
  return { kind, layer, values: integers.map((v, i) => v / numbers[i][0]), integers, name: named ? checkName(name) : "" };
}

/** The payload of a section of edits; empty for none. */
export function pack(steps) {
  const out = new Writer();
  for (const step of steps)
    step.forEach(({ kind, layer, integers, name }, i) => {
      const [code, , named] = KINDS[kind];
      out.put(code | (i ? 0 : 0x80), layer);
      integers.forEach((v) => out.zigzag(v));
      if (named) {
        const text = new TextEncoder().encode(name);
        out.varint(text.length).put(...text);
      }
    });
  return out.done();
}

/** The steps in the payload of a section of edits. */
export function unpack(payload) {
  const r = new Reader(payload), steps = [];
  for (let count = 1; !r.done; ++count) {
    const [code, layer] = r.take(2, "an edit");
    if (code & 0x80 || !steps.length) steps.push([]);
    const kind = NAMES[code & 0x7f];
    if (!kind) throw new SplatError(`unknown edit 0x${(code & 0x7f).toString(16).padStart(2, "0")}: a newer version of splat2d is needed`);
    if (count > MAX_OPERATIONS) throw new SplatError(`more than ${MAX_OPERATIONS} edits`);
    const [, numbers, named] = KINDS[kind];
    const integers = numbers.map(([unit, low, high]) => {
      const v = r.zigzag(`a number of the edit ${kind}`, 2 ** 35 - 1);
      if (v < Math.ceil(low * unit) || v > high * unit) throw new SplatError(`a number of the edit ${kind} is ${v / unit}, expected ${low} to ${high}`);
      return v;
    });
    steps.at(-1).push({ kind, layer, integers, values: integers.map((v, i) => v / numbers[i][0]), name: named ? readName(r) : "" });
  }
  return steps;
}

// Matrices [2, 2] and [3, 3], row by row.
const times2 = (m, n) => [m[0] * n[0] + m[1] * n[2], m[0] * n[1] + m[1] * n[3], m[2] * n[0] + m[3] * n[2], m[2] * n[1] + m[3] * n[3]];
const transposed = ([a, b, c, d]) => [a, c, b, d];
const LUMA = [0.213, 0.715, 0.072];
const UNIT = [1, 0, 0, 0, 1, 0, 0, 0, 1], GREY = [...LUMA, ...LUMA, ...LUMA];
const HUE = [-0.213, -0.715, 0.928, 0.143, 0.14, -0.283, -0.787, 0.715, 0.072];

function turn(angle) {
  const rest = ((angle % 90) + 90) % 90, turns = ((((angle - rest) / 90) % 4) + 4) % 4;
  let c = Math.cos((rest * Math.PI) / 180), s = Math.sin((rest * Math.PI) / 180);
  for (let i = 0; i < turns; ++i) [c, s] = [-s, c];
  return [c, s];
}

function colorMatrix(kind, v) {
  const mix = (f) => UNIT.map((u, i) => f(u, GREY[i], HUE[i]));
  if (kind === "brightness") return [mix((u) => v[0] * u), 0];
  if (kind === "contrast") return [mix((u) => v[0] * u), 0.5 - 0.5 * v[0]];
  if (kind === "saturation") return [mix((u, g) => v[0] * u + (1 - v[0]) * g), 0];
  if (kind === "hue") {
    const [c, s] = turn(v[0]);
    return [mix((u, g, h) => g + c * (u - g) + s * h), 0];
  }
  return [UNIT.map((u, i) => (1 - v[3]) * u + (v[3] * v[Math.floor(i / 3)] * LUMA[i % 3]) / 255), 0];
}

const fresh = (number, name) => ({
  number, source: number, name, matrix: [1, 0, 0, 1], offset: [0, 0], blur: [0, 0, 0, 0], color: [...UNIT], shift: [0, 0, 0], opacity: 1, visible: true,
});

export const isPlaced = ({ matrix, offset, blur }) => `${matrix}` !== "1,0,0,1" || `${offset}` !== "0,0" || blur.some(Boolean);
export const isRecolored = ({ color, shift }) => `${color}` !== `${UNIT}` || shift.some(Boolean);

function placed(state, matrix, offset) {
  const [x, y] = state.offset;
  state.offset = [matrix[0] * x + matrix[1] * y + offset[0], matrix[2] * x + matrix[3] * y + offset[1]];
  state.matrix = times2(matrix, state.matrix);
  state.blur = times2(times2(matrix, state.blur), transposed(matrix));
}

function about(state, matrix, [x, y]) {
  placed(state, matrix, [x - (matrix[0] * x + matrix[1] * y), y - (matrix[2] * x + matrix[3] * y)]);
}

function after(old, { kind, values: v, name }) {
  const state = { ...old };
  if (kind === "move") placed(state, [1, 0, 0, 1], v);
  else if (kind === "rotate") {
    const [c, s] = turn(v[0]);
    about(state, [c, s, -s, c], v.slice(1));
  } else if (kind === "scale") about(state, [v[0], 0, 0, v[1]], v.slice(2));
  else if (kind === "blur") state.blur = state.blur.map((b, i) => b + (i % 3 ? 0 : v[0] * v[0]));
  else if (kind === "opacity") state.opacity *= v[0];
  else if (kind === "hide" || kind === "show") state.visible = kind === "show";
  else if (kind === "rename") state.name = name;
  else if (["brightness", "contrast", "saturation", "hue", "tint"].includes(kind)) {
    const [n, add] = colorMatrix(kind, v), row = (i, j, m) => n[3 * i] * m(0, j) + n[3 * i + 1] * m(1, j) + n[3 * i + 2] * m(2, j);
    state.color = UNIT.map((_, i) => row(Math.floor(i / 3), i % 3, (k, j) => old.color[3 * k + j]));
    state.shift = [0, 1, 2].map((i) => row(i, 0, (k) => old.shift[k]) + add);
  }
  const [a, b, c, d] = state.matrix, det = Math.abs(a * d - b * c);
  if (!(det >= 1e-8 && det <= 1e8)) throw new SplatError(`${kind} leaves layer '${state.name}' without a size that can be drawn; scale it by less`);
  if (![...state.offset, ...state.matrix, ...state.blur, ...state.color, ...state.shift].every((n) => Math.abs(n) <= 1e9))
    throw new SplatError(`${kind} takes layer '${state.name}' beyond all bounds`);
  return state;
}

/** The layers of these names after some steps of edits, back to front, each with its state; deleted ones are gone. */
export function stackOf(names, steps = []) {
  let layers = names.map((name, i) => fresh(i, name)), count = names.length;
  for (const op of steps.flat()) {
    const at = layers.findIndex(({ number }) => number === op.layer);
    if (at < 0) throw new SplatError(`${op.kind} of layer ${op.layer}, which is not there`);
    const state = after(layers[at], op);
    layers = layers.toSpliced(at, 1);
    if (op.kind === "delete") continue;
    if (op.kind === "duplicate") {
      if (count === MAX_LAYERS) throw new SplatError(`more than ${MAX_LAYERS} layers, deleted ones included`);
      layers.splice(at, 0, state, { ...state, number: count++, name: op.name });
      continue;
    }
    const to = { raise: at + 1, lower: Math.max(at - 1, 0), "to-front": layers.length, "to-back": 0 }[op.kind] ?? at;
    layers.splice(to, 0, state);
  }
  return layers;
}
