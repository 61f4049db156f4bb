// A selection by rectangle, lasso, brush or flood, as a mask of the canvas's size.
import { SplatError } from "../src/bytes.js";
import { windowOf } from "./painter.js";

const MOST = 2 ** 26; // px of a canvas that is selected from

export class Selection {
  constructor({ canvas, tools, camera, painter, changed }) {
    Object.assign(this, { canvas, camera, painter, changed, tool: null, mask: null });
    this.tools = [...tools.querySelectorAll("[data-select]")];
    this.reach = tools.querySelector("#reach");
    for (const button of this.tools)
      button.onclick = () => this.choose(this.tool === button.dataset.select ? null : button.dataset.select);
  }
  /** Take up a tool, or none. */
  choose(tool) {
    this.tool = tool;
    for (const button of this.tools) button.setAttribute("aria-pressed", String(button.dataset.select === tool));
  }
  get active() {
    return Boolean(this.mask);
  }

  clear() {
    this.mask = null;
    this.changed();
  }

  #drawing() {
    const { width, height } = this.painter.document.file;
    if (width * height > MOST) throw new SplatError("the picture is too large to select from");
    this.mask ??= new OffscreenCanvas(width, height);
    return this.mask.getContext("2d", { willReadFrequently: true });
  }

  /** A drag with the present tool, from and to points of the stage; nothing without a tool. With Alt it takes away. */
  begin(from, { altKey: less }) {
    const { tool } = this;
    if (!tool) return null;
    const start = this.camera.toCanvas(...from), points = [start], to = this.#drawing();
    const before = new OffscreenCanvas(this.mask.width, this.mask.height);
    before.getContext("2d").drawImage(this.mask, 0, 0);
    const paint = () => {
      to.globalCompositeOperation = "copy";
      to.drawImage(before, 0, 0);
      to.globalCompositeOperation = less ? "destination-out" : "source-over";
      to.fillStyle = to.strokeStyle = "#fff";
      to.beginPath();
      const [x, y] = points.at(-1);
      if (tool === "rectangle") to.rect(start[0], start[1], x - start[0], y - start[1]);
      else points.forEach((p) => to.lineTo(...p));
      if (tool === "brush") {
        Object.assign(to, { lineWidth: (2 * this.reach.value) / this.camera.zoom, lineCap: "round", lineJoin: "round" });
        to.lineTo(x + 1e-3, y);
        to.stroke();
      } else to.fill();
      this.changed();
    };
    if (tool === "flood") this.#flood(start, to, less);
    if (tool === "brush") paint();
    return {
      move: (now) => {
        if (tool === "flood") return;
        points.push(this.camera.toCanvas(...now));
        paint();
      },
      end: () => {},
    };
  }

  // The connected region of about the colour of a point.
  #flood([x, y], to, less) {
    const { width, height } = this.mask, at = Math.floor(y) * width + Math.floor(x), most = Number(this.reach.value);
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    const bytes = this.painter.bytes(), like = (i) => [0, 1, 2].every((c) => Math.abs(bytes[4 * i + c] - bytes[4 * at + c]) <= most);
    const seen = new Uint8Array(width * height), edge = [at];
    seen[at] = 1;
    while (edge.length) {
      const i = edge.pop(), column = i % width;
      for (const next of [i - width, i + width, column ? i - 1 : -1, column < width - 1 ? i + 1 : -1])
        if (next >= 0 && next < seen.length && !seen[next] && like(next)) {
          seen[next] = 1;
          edge.push(next);
        }
    }
    const image = to.getImageData(0, 0, width, height);
    seen.forEach((found, i) => found && image.data.fill(less ? 0 : 255, 4 * i, 4 * i + 4));
    to.putImageData(image, 0, 0);
    this.changed();
  }

  /** Draw over the picture as it is seen. */
  draw(doc) {
    this.canvas.hidden = !this.mask;
    if (!this.mask) return;
    const ratio = 1, { left, top, view } = windowOf(doc.file, this.camera, ratio), { canvas } = this;
    canvas.hidden = !view.width || !view.height;
    if (canvas.hidden) return;
    Object.assign(canvas, { width: view.width, height: view.height });
    const to = canvas.getContext("2d");
    to.drawImage(this.mask, view.x, view.y, view.width / view.scaleX, view.height / view.scaleY, 0, 0, view.width, view.height);
    to.globalCompositeOperation = "source-in";
    to.fillStyle = "rgb(240 120 20 / 0.45)";
    to.fillRect(0, 0, view.width, view.height);
    Object.assign(canvas.style, { left: `${left}px`, top: `${top}px`, width: `${view.width}px`, height: `${view.height}px` });
  }

  /** The mask as a PNG, white where selected. */
  async png() {
    const out = new OffscreenCanvas(this.mask.width, this.mask.height), to = out.getContext("2d");
    to.fillRect(0, 0, out.width, out.height);
    to.drawImage(this.mask, 0, 0);
    return out.convertToBlob({ type: "image/png" });
  }
}
