// The selected layer's box, with handles that move, turn and scale it.
import { operation } from "./document.js";

const SVG = "http://www.w3.org/2000/svg";
const made = (name, attributes) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};

export class Handles {
  constructor(svg, camera) {
    Object.assign(this, { svg, camera, hold: null });
  }

  draw(doc, state) {
    this.svg.replaceChildren();
    if (!doc || !state || !state.visible) return;
    const corners = doc.corners(state).map((p) => this.camera.toStage(p)), top = middle(corners[0], corners[1]);
    const [cx, cy] = middle(corners[0], corners[2]), length = Math.hypot(top[0] - cx, top[1] - cy) || 1;
    const knob = [top[0] + ((top[0] - cx) / length) * 26, top[1] + ((top[1] - cy) / length) * 26];
    this.svg.append(made("polygon", { points: corners.map((p) => p.join()).join(" ") }),
      made("line", { x1: top[0], y1: top[1], x2: knob[0], y2: knob[1] }),
      made("circle", { cx: knob[0], cy: knob[1], r: 7, "data-handle": "rotate" }),
      ...corners.map(([x, y], i) => made("rect", { x: x - 6, y: y - 6, width: 12, height: 12, "data-handle": `scale${i}` })));
  }

  /** A drag that begins on a handle, or inside the selected layer: from points of the stage to a step of edits. */
  begin(doc, state, event, from, inside) {
    const what = event.target.dataset?.handle ?? (inside ? "move" : null);
    if (!what || !state) return null;
    const start = this.camera.toCanvas(...from), corners = doc.corners(state);
    const about = what === "rotate" ? doc.center(state) : corners[(Number(what.slice(5)) + 2) % 4];
    return (to, { shiftKey: firm } = {}) => {
      const now = this.camera.toCanvas(...to), { number } = state;
      if (what === "move") return [operation("move", number, [now[0] - start[0], now[1] - start[1]])];
      if (what === "rotate") {
        const angle = ([x, y]) => (Math.atan2(about[1] - y, x - about[0]) * 180) / Math.PI;
        let turn = angle(now) - angle(start);
        if (firm) turn = Math.round(turn / 15) * 15;
        return [operation("rotate", number, [turn, ...about])];
      }
      const ratio = (i) => (Math.abs(start[i] - about[i]) < 1e-6 ? 1 : (now[i] - about[i]) / (start[i] - about[i]));
      let [across, down] = [ratio(0), ratio(1)];
      if (!firm) across = down = Math.hypot(now[0] - about[0], now[1] - about[1]) / Math.max(Math.hypot(start[0] - about[0], start[1] - about[1]), 1e-6);
      const least = (v) => (Math.abs(v) < 0.01 ? 0.01 : v);
      return [operation("scale", number, [least(across), least(down), ...about])];
    };
  }
}

const middle = (p, q) => [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2];
