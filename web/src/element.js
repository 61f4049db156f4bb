// <splat-picture src="a.splat" alt="..."> renders at its own size and pixel ratio, once it comes near the window.
import { Decoder } from "./client.js";
import { Core, compile } from "./core.js";
import { plan } from "./draw.js";
import { GlRenderer } from "./gl.js";
import { RasterRenderer } from "./raster.js";
import { Timeline } from "./timeline.js";

let host = {};
let shared;

/** Where decoder and worker are, if not beside this module; before the first picture is shown. */
export function configure(options) {
  host = options;
}

// One decoder and one renderer for all: browsers allow few contexts of WebGL.
function tools() {
  shared ??= compile(host.wasm).then((module) => {
    const decoder = new Decoder({ ...host, wasm: module }), core = new Core(module);
    let renderer;
    try {
      const gl = new GlRenderer(new OffscreenCanvas(8, 8), { core });
      if (!gl.emulated) renderer = gl;
    } catch {
      // There is no WebGL2.
    }
    return { decoder, renderer: renderer ?? new RasterRenderer(null, core) };
  });
  return shared;
}

export class SplatPicture extends HTMLElement {
  static observedAttributes = ["src", "alt", "time", "eye", "focus"];
  #canvas = document.createElement("canvas");
  #file = null;
  #near = false;
  #loading = 0;
  #eyes = null;
  #sides = null;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" }), style = document.createElement("style");
    style.textContent = ":host { display: inline-block; } canvas { display: block; width: 100%; height: 100%; object-fit: contain; }";
    this.#canvas.setAttribute("role", "img");
    root.append(style, this.#canvas);
  }
  connectedCallback() {
    this.#sides = new ResizeObserver(() => this.#draw());
    this.#sides.observe(this);
    this.#eyes = new IntersectionObserver((entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      this.#eyes.disconnect();
      this.#near = true;
      this.#load();
    }, { rootMargin: "400px" });
    this.#eyes.observe(this);
  }
  disconnectedCallback() {
    this.#sides?.disconnect();
    this.#eyes?.disconnect();
  }
  attributeChangedCallback(name) {
    this.#canvas.setAttribute("aria-label", this.getAttribute("alt") ?? "");
    if (name === "src" && this.#near) this.#load();
    if (["time", "eye", "focus"].includes(name)) this.#draw();
  }
  // From where a light field is seen: eye="0.5,-1", or focus="0.8".
  get #lens() {
    const eye = (this.getAttribute("eye") ?? "").split(",").map(Number), focus = parseFloat(this.getAttribute("focus"));
    return { eye: eye.length === 2 && eye.every(Number.isFinite) ? eye : [0, 0], focus: Number.isFinite(focus) ? focus : null };
  }
  /** The decoded file, or null. */
  get file() {
    return this.#file;
  }

  async #load() {
    const turn = ++this.#loading, src = this.getAttribute("src");
    if (!src) return;
    try {
      const { decoder } = await tools(), response = await fetch(new URL(src, document.baseURI));
      if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
      const file = await decoder.decode(new Uint8Array(await response.arrayBuffer()));
      if (turn !== this.#loading) return;
      this.#file = { ...file, timeline: file.rate === null ? undefined : new Timeline(file) };
      this.style.aspectRatio ||= `${file.width} / ${file.height}`;
      if (!this.clientWidth) this.style.width = `${file.width}px`;
      this.#draw();
      this.dispatchEvent(new Event("load"));
    } catch (fault) {
      if (turn === this.#loading) this.dispatchEvent(new ErrorEvent("error", { message: fault.message, error: fault }));
    }
  }

  async #draw() {
    const file = this.#file, { renderer } = await tools();
    if (!file || file !== this.#file || !this.isConnected) return;
    const scale = Math.min(this.clientWidth / file.width, this.clientHeight / file.height || Infinity) * devicePixelRatio;
    const [width, height] = [file.width, file.height].map((side) => Math.min(Math.max(Math.round(side * scale), 1), 8192));
    const drawn = plan(file, { x: 0, y: 0, scaleX: width / file.width, scaleY: height / file.height, width, height },
      { ...this.#lens, time: Number(this.getAttribute("time") ?? 0), timeline: file.timeline });
    Object.assign(this.#canvas, { width, height });
    const to = this.#canvas.getContext("2d");
    if (renderer.kind === "cpu") to.putImageData(new ImageData(renderer.pixels(drawn), width, height), 0, 0);
    else {
      renderer.draw(drawn);
      to.drawImage(renderer.canvas, 0, 0);
    }
  }
}

customElements.define("splat-picture", SplatPicture);

/** Put an element in the place of each <img> of a .splat file in a document or a part of one. */
export function replaceImages(root = document) {
  for (const image of root.querySelectorAll('img[src$=".splat"]')) {
    const picture = document.createElement("splat-picture");
    for (const { name, value } of image.attributes) picture.setAttribute(name, value);
    for (const side of ["width", "height"]) if (image.hasAttribute(side)) picture.style[side] = `${parseFloat(image.getAttribute(side))}px`;
    image.replaceWith(picture);
  }
}
