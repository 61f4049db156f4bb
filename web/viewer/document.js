// An open file with its edits, undone ones included.
import { SplatError } from "../src/bytes.js";
import { withEdits } from "../src/container.js";
import { operation, pack, stackOf } from "../src/edits.js";
import { hasAlpha } from "../src/draw.js";
import { Timeline } from "../src/timeline.js";

export class Document {
  /** @param {Uint8Array|null} bytes Null while a file is on its way. @param {object} file As `decode` gives it. */
  constructor(name, bytes, file) {
    Object.assign(this, { name, bytes, file, redone: [], preview: [] });
    this.steps = [...file.steps];
    this.saved = file.steps.length;
    this.timeline = file.rate === null ? null : new Timeline(file);
    this.names = file.layers.map(({ name }) => name);
  }

  /** Layers as they stand, back to front, with the step that is being tried out. */
  get stack() {
    return stackOf(this.names, this.preview.length ? [...this.steps, this.preview] : this.steps);
  }
  get clip() {
    return this.timeline !== null;
  }

  /** Show a step without keeping it. */
  try(step) {
    const before = this.preview;
    this.preview = step;
    try {
      this.stack;
    } catch (fault) {
      this.preview = before;
      throw fault;
    }
  }
  apply(step) {
    this.preview = [];
    if (!step.length) return;
    if ([...this.steps, step].flat().length > 2048) throw new SplatError("more than 2048 edits; undo some");
    stackOf(this.names, [...this.steps, step]);
    this.steps = [...this.steps, step];
    this.redone = [];
  }
  undo() {
    if (this.steps.length) this.redone.push(this.steps.at(-1));
    this.steps = this.steps.slice(0, -1);
  }
  redo() {
    if (this.redone.length) this.steps = [...this.steps, this.redone.pop()];
  }

  /** The file with its edits; nothing else is coded again. */
  save() {
    return withEdits(this.bytes, this.file, pack(this.steps));
  }

  layerOf(state) {
    return this.file.layers[state.source];
  }
  /** Corners of a layer's box as it stands, canvas px, clockwise from the upper left. */
  corners(state) {
    const layer = this.layerOf(state), { width, height } = layer.header;
    let [x, y, w, h] = layer.box && hasAlpha(layer) ? layer.box : [0, 0, width, height];
    if (!w || !h) [x, y, w, h] = [0, 0, width, height];
    const { matrix: [a, b, c, d], offset: [u, v] } = state;
    return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]].map(([px, py]) => [a * px + b * py + u, c * px + d * py + v]);
  }
  center(state) {
    const [p, , q] = this.corners(state);
    return [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2];
  }
  /** A name that no layer has had. */
  unique(name) {
    const taken = new Set([...this.names, ...this.steps.flat().map((op) => op.name)]);
    let candidate = name;
    for (let n = 2; taken.has(candidate); ++n) candidate = `${name.slice(0, 58)} ${n}`;
    return candidate;
  }
}

export { operation };
