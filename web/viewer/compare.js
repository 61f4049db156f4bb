// A second picture over the first, behind a line that is moved, or beside it: a file, a picture, or that as JPEG or WebP of as many
// bytes as the file that is open.
import { plan } from "../src/draw.js";
import { RasterRenderer } from "../src/raster.js";
import { windowOf } from "./painter.js";

export class Compare {
  constructor({ layer, canvas, divider, stage, camera, core, say }) {
    Object.assign(this, { layer, canvas, divider, stage, camera, core, say, share: 0.5, beside: false, source: null, file: null });
    const set = (share) => {
      this.share = Math.min(Math.max(share, 0), 1);
      this.place();
    };
    divider.addEventListener("pointerdown", (event) => {
      divider.setPointerCapture(event.pointerId);
      event.stopPropagation();
    });
    divider.addEventListener("pointermove", (event) => {
      if (!divider.hasPointerCapture(event.pointerId)) return;
      const { left, width } = stage.getBoundingClientRect();
      set((event.clientX - left) / width);
    });
    divider.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      set(this.share + step);
    });
  }
  get active() {
    return Boolean(this.source || this.file);
  }

  /** Compare with a decoded file, or a picture's bytes of a type that the browser shows. */
  async open({ file, blob, bytes }) {
    this.close();
    if (file) {
      this.file = file;
      this.say(`compared with ${file.size.toLocaleString("en")} bytes`);
    } else {
      const original = await createImageBitmap(blob), found = await equal(original, bytes);
      this.source = await createImageBitmap(found.blob);
      this.say(found.type ? `compared with ${found.type} of ${found.blob.size.toLocaleString("en")} bytes (the picture has ${blob.size.toLocaleString("en")})` : `compared with the picture itself: no JPEG or WebP is as small as ${bytes.toLocaleString("en")} bytes`);
    }
    this.layer.hidden = false;
    this.place();
  }
  close() {
    this.source = this.file = null;
    this.layer.hidden = this.divider.hidden = true;
  }
  place() {
    const x = this.share * 100, { beside } = this;
    this.layer.classList.toggle("beside", beside);
    this.divider.hidden = beside || !this.active;
    this.divider.style.left = `${x}%`;
    this.divider.setAttribute("aria-valuenow", Math.round(x));
    this.layer.style.clipPath = beside ? "" : `inset(0 0 0 ${x}%)`;
  }

  /** Draw as the first picture is seen, whose canvas is `doc`'s. */
  draw(doc, ratio = devicePixelRatio) {
    if (!this.active || !doc) return;
    this.place();
    const { left, top, view } = windowOf(doc.file, this.camera, ratio), { canvas } = this;
    canvas.hidden = !view.width || !view.height;
    if (canvas.hidden) return;
    const { width, height } = doc.file;
    if (this.file) {
      const sx = this.file.width / width, sy = this.file.height / height;
      const own = { ...view, x: view.x * sx, y: view.y * sy, scaleX: view.scaleX / sx, scaleY: view.scaleY / sy };
      new RasterRenderer(canvas, this.core).draw(plan(this.file, own));
    } else {
      Object.assign(canvas, { width: view.width, height: view.height });
      const to = canvas.getContext("2d"), sx = this.source.width / width, sy = this.source.height / height;
      to.imageSmoothingEnabled = view.scaleX < sx;
      to.drawImage(this.source, view.x * sx, view.y * sy, (view.width / view.scaleX) * sx, (view.height / view.scaleY) * sy, 0, 0, view.width, view.height);
    }
    Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`, width: `${view.width / ratio}px`, height: `${view.height / ratio}px` });
  }
}

// The picture as WebP, or JPEG, of at most so many bytes; as it is where neither can be.
async function equal(picture, bytes) {
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  canvas.getContext("2d").drawImage(picture, 0, 0);
  for (const type of ["image/webp", "image/jpeg"]) {
    let low = 0, high = 1, best = null;
    for (let i = 0; i < 8; ++i) {
      const quality = (low + high) / 2, blob = await canvas.convertToBlob({ type, quality });
      if (blob.type !== type) break;
      if (blob.size <= bytes) [best, low] = [blob, quality];
      else high = quality;
    }
    if (best) return { blob: best, type: type.slice(6).toUpperCase() };
  }
  return { blob: await canvas.convertToBlob({ type: "image/png" }), type: "" };
}
