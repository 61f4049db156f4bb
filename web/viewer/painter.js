// Draws what the camera sees of a document on a canvas that covers just that.
import { plan, viewOf } from "../src/draw.js";
import { GlRenderer } from "../src/gl.js";
import { RasterRenderer } from "../src/raster.js";

const SLOW = 45; // ms of a frame beyond which pictures that move are drawn coarser

/** A renderer by the GPU, or by the core where there is none (an emulated one is slower than the core). */
export function rendererFor(canvas, core, wanted) {
  if (wanted !== "cpu")
    try {
      const probe = new GlRenderer(new OffscreenCanvas(1, 1)), emulated = probe.emulated;
      probe.gl.getExtension("WEBGL_lose_context")?.loseContext();
      if (!emulated || wanted === "webgl2") return new GlRenderer(canvas, { core });
    } catch {
      // There is no WebGL2, or none with floats.
    }
  return new RasterRenderer(canvas, core);
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
    Object.assign(this, { canvas, camera, core, drawn, fault, document: null, time: 0, tiers: 6, texture: 1, outlines: 0, coarse: 1, last: 0 });
    this.renderer = rendererFor(canvas, core, renderer);
    if (this.renderer.kind === "cpu") this.coarse = 0.5; // until it is known how fast it is
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault();
      fault("the GPU was lost; waiting for it");
    });
    canvas.addEventListener("webglcontextrestored", () => {
      this.renderer.restore();
      fault("");
      this.request();
    });
  }

  /** Draw with the next frame; `moving` pictures may be coarser, and are drawn again when all is still. */
  request(moving = false) {
    this.moving = moving;
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
    const { document: doc, canvas } = this;
    canvas.hidden = !doc;
    if (!doc) return;
    const ratio = Math.min(devicePixelRatio, 3) * (this.moving ? this.coarse : 1), { left, top, view } = windowOf(doc.file, this.camera, ratio);
    canvas.hidden = !view.width || !view.height;
    if (canvas.hidden) return this.drawn(doc);
    const begin = performance.now();
    try {
      this.renderer.draw(this.planned(view), { outlines: this.outlines });
    } catch (fault) {
      return this.fault(fault.message);
    }
    Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`, width: `${view.width / ratio}px`, height: `${view.height / ratio}px` });
    this.last = performance.now() - begin;
    if (!this.seen) performance.mark("splat2d-first");
    this.seen = true;
    if (this.moving) {
      this.coarse = Math.min(Math.max(this.coarse * Math.sqrt(SLOW / Math.max(this.last, 1)), 0.2), 1);
      if (this.coarse < 1) this.still = setTimeout(() => this.request(), 140);
    }
    this.drawn(doc);
  }

  planned(view) {
    const { document: doc, time, tiers } = this;
    // Grain that is slow to draw waits until all is still.
    const texture = this.moving && this.coarse < 1 ? 0 : this.texture;
    return plan(doc.file, view, { time, tiers, texture, stack: doc.stack, timeline: doc.timeline ?? undefined });
  }

  /** The frontmost visible layer that covers a point of the canvas by half or more. */
  pick(x, y) {
    const { items } = plan(this.document.file, { x: x - 0.5, y: y - 0.5, scaleX: 1, scaleY: 1, width: 1, height: 1 },
      { time: this.time, texture: 0, stack: this.document.stack.map((state) => ({ ...state, opacity: Math.min(state.opacity, 0.999999) })), timeline: this.document.timeline ?? undefined });
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
