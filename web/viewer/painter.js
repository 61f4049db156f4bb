// Draws what the camera sees of a document on a canvas that covers just that.
import { plan, viewOf } from "../src/draw.js";
import { GlRenderer } from "../src/gl.js";
import { RasterRenderer } from "../src/raster.js";

const BEYOND = 160; // px around what is seen that are drawn when the picture slides
const LATER = 200; // ms from the first picture to a context of WebGL, which stops all else for a while
const SLOW = 45; // ms of a frame beyond which pictures that move are drawn coarser

/** A renderer by the GPU that is ready to draw; null where there is none (an emulated one is slower than the core). */
async function fastest(canvas, core, wanted) {
  if (wanted === "cpu") return null;
  try {
    const probe = new GlRenderer(new OffscreenCanvas(1, 1)), { emulated } = probe;
    probe.gl.getExtension("WEBGL_lose_context")?.loseContext();
    if (emulated && wanted !== "webgl2") return null;
    const renderer = new GlRenderer(canvas, { core });
    await renderer.prepare();
    return renderer;
  } catch {
    return null; // There is no WebGL2, or none with floats.
  }
}

// A tier is a factor of four in area finer than the one before; the last has splats of less than a px.
function tiersAt(scale) {
  let tiers = 6;
  while (tiers > 3 && scale * 2 ** (6 - tiers) <= 0.35) --tiers;
  return tiers;
}

/** The part of the stage, device px, that a canvas of this size covers, and its view. */
export function windowOf({ width, height }, camera, ratio) {
  const z = camera.zoom * ratio, [w, h] = camera.size.map((v) => Math.round(v * ratio));
  const edge = (v, most) => Math.min(Math.max(Math.round(v), 0), most);
  const left = edge(-camera.x * z, w), right = edge((width - camera.x) * z, w);
  const top = edge(-camera.y * z, h), bottom = edge((height - camera.y) * z, h);
  return {
    left: left / ratio,
    top: top / ratio,
    ratio,
    view: { x: camera.x + left / z, y: camera.y + top / z, scaleX: z, scaleY: z, width: right - left, height: bottom - top },
  };
}

export class Painter {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas, camera, core, { renderer, drawn = () => {}, fault = () => {} } = {}) {
    Object.assign(this, { canvas, camera, core, wanted: renderer, drawn, fault, document: null, time: 0, lens: {}, tiers: 6, texture: 1, outlines: 0, last: 0, same: true, shown: null });
    this.renderer = new RasterRenderer(canvas, core);
    this.coarse = 0.5; // until it is known how fast it is
  }

  // A context of WebGL and its programs take longer to make than the first picture; behind that they take over.
  async #hasten() {
    const canvas = this.canvas.cloneNode(), renderer = await fastest(canvas, this.core, this.wanted);
    if (!renderer) return;
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      this.fault("the GPU was lost; waiting for it");
    });
    canvas.addEventListener("webglcontextrestored", () => {
      renderer.restore();
      this.fault("");
      this.request();
    });
    this.renderer.forget();
    this.canvas.replaceWith(canvas);
    Object.assign(this, { canvas, renderer, coarse: 1 });
    this.paint();
  }

  /**
   * Draw with the next frame.
   *
   * @param {boolean} [moving] Pictures may be coarser, and are drawn again when all is still.
   * @param {boolean} [same] What is seen is as before, but for the camera.
   */
  request(moving = false, same = false) {
    this.moving = moving;
    this.same &&= same;
    this.pending ??= requestAnimationFrame(() => {
      this.pending = undefined;
      this.paint();
    });
  }

  /** Draw what has come of the document since, but not so often that it hinders what is still to come. */
  arrived() {
    this.wait ??= setTimeout(() => {
      this.wait = undefined;
      this.request(this.moving);
    }, Math.max(4 * this.last, 50));
  }

  paint() {
    clearTimeout(this.still);
    const { document: doc, canvas, same } = this;
    this.same = true;
    canvas.hidden = !doc;
    if (!doc) return;
    const begin = performance.now();
    try {
      const slid = this.moving && same && this.#slide();
      if (!slid) this.#draw();
      if (canvas.hidden) return this.drawn(doc);
      this.last = performance.now() - begin;
      if (this.moving && !slid) this.coarse = Math.min(Math.max(this.coarse * Math.sqrt(SLOW / Math.max(this.last, 1)), 0.2), 1);
    } catch (fault) {
      return this.fault(fault.message);
    }
    if (!this.seen) {
      this.seen = true;
      performance.mark("splat2d-first");
      setTimeout(() => this.#hasten(), LATER);
    }
    if (this.shown.draft) this.still = setTimeout(() => this.request(), 140);
    this.drawn(doc);
  }

  get ratio() {
    return Math.min(devicePixelRatio, 3);
  }

  #draw() {
    const { document: doc, canvas, camera } = this, draft = this.moving && this.coarse < 1;
    const ratio = this.ratio * (draft ? this.coarse : 1), { left, top, view } = windowOf(doc.file, camera, ratio);
    canvas.hidden = !view.width || !view.height;
    this.shown = null;
    if (canvas.hidden) return;
    const planned = this.planned(view, draft), [back] = planned.items;
    // Squares behind what is transparent; they take a while where nothing else does.
    canvas.classList.toggle("clear", !back || back.covered || back.state.opacity < 1);
    this.renderer.draw(planned, { outlines: this.outlines });
    this.#place(left, top, view, ratio, draft);
  }

  // A picture that was drawn without a GPU moves along with the camera, and only what comes into sight is drawn.
  #slide() {
    const { shown, camera, canvas, document: doc, renderer } = this;
    if (renderer.kind !== "cpu" || !shown || this.outlines || shown.zoom !== camera.zoom || shown.document !== doc) return false;
    const { ratio, view: old } = shown, z = old.scaleX, { width, height } = doc.file, [left, top, right, bottom] = camera.window;
    // Columns and rows of the old picture's grid, and the canvas's own.
    const column = (x) => Math.round((Math.min(Math.max(x, 0), width) - old.x) * z), row = (y) => Math.round((Math.min(Math.max(y, 0), height) - old.y) * z);
    let [x0, y0, x1, y1] = [column(left), row(top), column(right), row(bottom)];
    if (x1 <= x0 || y1 <= y0) return false;
    const move = (view) => {
      const [x, y] = camera.toStage([view.x, view.y]), whole = (v) => Math.abs(v * ratio - Math.round(v * ratio)) < 1e-3;
      this.#place(x, y, view, ratio, shown.draft || !whole(x) || !whole(y));
      return true;
    };
    if (x0 >= 0 && y0 >= 0 && x1 <= old.width && y1 <= old.height) return move(old);
    // What is missing comes with more of what lies beyond it; what lies beyond the other sides stays.
    x0 = x0 < 0 ? Math.max(x0 - BEYOND, column(0)) : Math.max(x0 - BEYOND, 0);
    y0 = y0 < 0 ? Math.max(y0 - BEYOND, row(0)) : Math.max(y0 - BEYOND, 0);
    x1 = x1 > old.width ? Math.min(x1 + BEYOND, column(width)) : Math.min(x1 + BEYOND, old.width);
    y1 = y1 > old.height ? Math.min(y1 + BEYOND, row(height)) : Math.min(y1 + BEYOND, old.height);
    const [kx0, ky0, kx1, ky1] = [Math.max(x0, 0), Math.max(y0, 0), Math.min(x1, old.width), Math.min(y1, old.height)];
    if (kx1 <= kx0 || ky1 <= ky0 || 3 * (kx1 - kx0) * (ky1 - ky0) < (x1 - x0) * (y1 - y0)) return false;
    const view = { ...old, x: old.x + x0 / z, y: old.y + y0 / z, width: x1 - x0, height: y1 - y0 }, to = canvas.getContext("2d");
    if (view.width === old.width && view.height === old.height) {
      if (x0 || y0) {
        to.globalCompositeOperation = "copy";
        to.drawImage(canvas, -x0, -y0);
      }
    } else {
      const kept = new OffscreenCanvas(old.width, old.height);
      kept.getContext("2d").drawImage(canvas, 0, 0);
      Object.assign(canvas, { width: view.width, height: view.height });
      to.drawImage(kept, -x0, -y0);
    }
    to.globalCompositeOperation = "source-over";
    for (const [u0, v0, u1, v1] of [[x0, y0, x1, ky0], [x0, ky1, x1, y1], [x0, ky0, kx0, ky1], [kx1, ky0, x1, ky1]]) {
      if (u1 <= u0 || v1 <= v0) continue;
      const strip = { ...old, x: old.x + u0 / z, y: old.y + v0 / z, width: u1 - u0, height: v1 - v0 };
      to.putImageData(new ImageData(renderer.pixels(this.planned(strip, shown.draft)), strip.width, strip.height), u0 - x0, v0 - y0);
    }
    return move(view);
  }

  #place(left, top, view, ratio, draft) {
    Object.assign(this.canvas.style, { left: `${left}px`, top: `${top}px`, width: `${view.width / ratio}px`, height: `${view.height / ratio}px` });
    this.shown = { view, ratio, draft, zoom: this.camera.zoom, document: this.document };
  }

  planned(view, draft = false) {
    const { document: doc, time } = this;
    // While all moves, grain and splats of less than a fraction of a px wait.
    const texture = draft ? 0 : this.texture, tiers = draft ? Math.min(this.tiers, tiersAt(view.scaleX)) : this.tiers;
    return plan(doc.file, view, { ...this.lens, time, tiers, texture, stack: doc.stack, timeline: doc.timeline ?? undefined });
  }

  /** The frontmost visible layer that covers a point of the canvas by half or more. */
  pick(x, y) {
    const { items } = plan(this.document.file, { x: x - 0.5, y: y - 0.5, scaleX: 1, scaleY: 1, width: 1, height: 1 },
      { ...this.lens, time: this.time, texture: 0, stack: this.document.stack.map((state) => ({ ...state, opacity: Math.min(state.opacity, 0.999999) })), timeline: this.document.timeline ?? undefined });
    const raster = new RasterRenderer(null, this.core);
    return items.findLast((item) => raster.planes({ view: { x: 0, y: 0, scaleX: 1, scaleY: 1, width: 1, height: 1 }, items: [{ ...item, state: { ...item.state, opacity: 1 } }] })[3] >= 0.5)?.state;
  }

  /** The colour of one canvas point, bytes. */
  colorAt(x, y) {
    const view = { x: x - 0.5, y: y - 0.5, scaleX: 1, scaleY: 1, width: 1, height: 1 };
    return new RasterRenderer(null, this.core).pixels(this.planned(view));
  }

  /** Bytes [height, width, 4] of the whole canvas. */
  bytes() {
    return new RasterRenderer(null, this.core).pixels(this.planned(viewOf(this.document.file)));
  }

  /** Pixels of the whole canvas at a scale, band by band, as a canvas. */
  async picture(scale, progress = () => {}) {
    const { width, height } = this.document.file, w = Math.max(Math.round(width * scale), 1), h = Math.max(Math.round(height * scale), 1);
    const canvas = new OffscreenCanvas(w, h), to = canvas.getContext("2d"), raster = new RasterRenderer(null, this.core);
    if (!to) throw new Error(`a picture of ${w} x ${h} px is too large for this browser`);
    const rows = Math.max(Math.floor(2 ** 20 / w), 16), sx = w / width, sy = h / height;
    for (let top = 0; top < h; top += rows) {
      const view = { x: 0, y: top / sy, scaleX: sx, scaleY: sy, width: w, height: Math.min(rows, h - top) };
      to.putImageData(new ImageData(raster.pixels(this.planned(view)), w, view.height), 0, top);
      progress(top / h);
      await new Promise((done) => setTimeout(done));
    }
    return canvas;
  }
}
