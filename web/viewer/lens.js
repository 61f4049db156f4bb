// From where a light field is seen: an eye that is dragged, and a lens around it with a focus.
import { disparitiesOf, disparityAt, reachOf } from "../src/eyes.js";

export class Lens {
  /** @param {HTMLElement} root @param {{stage: HTMLElement, document: () => object|null, changed: () => void}} options */
  constructor(root, { stage, document, changed }) {
    Object.assign(this, { root, stage, document, changed });
    const find = (id) => root.querySelector(`#${id}`);
    Object.assign(this, { look: find("look"), u: find("eye-u"), v: find("eye-v"), at: find("eye-at"), wide: find("wide"), sharp: find("focus"), sharpAt: find("focus-at") });
    for (const input of [this.u, this.v, this.sharp]) input.oninput = () => this.#show();
    this.wide.onchange = () => this.#show();
    this.look.onclick = () => this.toggle();
    find("straight").onclick = () => this.move(0, 0);
  }

  /** The document, where it is a light field. */
  get doc() {
    const doc = this.document();
    return doc?.file.eyes ? doc : null;
  }

  /** Begin with the middle eye of another document. */
  open() {
    const { doc } = this, eyes = doc?.file.eyes;
    this.root.hidden = !eyes;
    this.wide.checked = false;
    if (!eyes) return this.#tell();
    this.reach = reachOf(eyes);
    const [left, top, right, bottom] = this.reach, [near, far] = disparitiesOf(doc.file.layers[0]);
    Object.assign(this.u, { min: left, max: right, disabled: left === right });
    Object.assign(this.v, { min: top, max: bottom, disabled: top === bottom });
    Object.assign(this.sharp, { min: near, max: far, step: (far - near) / 200 || 0.01, value: (near + far) / 2 });
    this.move(0, 0);
  }

  /** What plans take. */
  get options() {
    if (!this.doc) return {};
    return { eye: [this.u.valueAsNumber, this.v.valueAsNumber], focus: this.wide.checked ? this.sharp.valueAsNumber : null };
  }
  toggle() {
    this.look.setAttribute("aria-pressed", String(this.look.getAttribute("aria-pressed") !== "true"));
  }
  move(u, v) {
    [this.u.value, this.v.value] = [u, v];
    this.#show();
  }
  /** Focus on what is seen at a point of the canvas; false where no lens is. */
  focus(x, y) {
    if (!this.doc || !this.wide.checked) return false;
    const found = disparityAt(this.doc.file.layers[0], x, y, this.options.eye);
    if (found !== null) this.sharp.value = found;
    this.#show();
    return true;
  }

  /** A drag over the whole stage takes the eye from one side to the other; what is near goes with the hand. */
  begin(from, event) {
    if (!this.doc || event.altKey || this.look.getAttribute("aria-pressed") !== "true") return null;
    const { u, v } = this, start = [u.valueAsNumber, v.valueAsNumber], [left, top, right, bottom] = this.reach;
    const sign = Math.sign(Number(this.sharp.min) + Number(this.sharp.max)) || 1;
    const across = (sign * (right - left)) / this.stage.clientWidth, down = (sign * (bottom - top)) / this.stage.clientHeight;
    return {
      move: ([x, y]) => this.move(start[0] + (x - from[0]) * across, start[1] + (y - from[1]) * down),
      end: () => this.changed(false),
    };
  }

  #tell() {
    const place = (input) => input.valueAsNumber.toFixed(2);
    this.at.value = this.doc ? `${place(this.u)}, ${place(this.v)}` : "";
    this.sharpAt.value = this.doc && this.wide.checked ? `${place(this.sharp)} px` : "";
    this.sharp.disabled = !this.wide.checked;
  }
  #show() {
    this.#tell();
    this.changed(true);
  }
}
