// Which part of the canvas is seen, how large; and the gestures that change it.
const MOST = 1e5, LEAST = 1e-3;

export class Camera {
  /** @param {HTMLElement} stage @param {() => void} changed */
  constructor(stage, changed) {
    // The share of the stage's width, from the left, that the picture has.
    Object.assign(this, { stage, changed, x: 0, y: 0, zoom: 1, share: 1, fitted: true });
  }
  get size() {
    return [this.stage.clientWidth * this.share, this.stage.clientHeight];
  }
  /** What is seen: left, top, right, bottom, px of the canvas. */
  get window() {
    return [...this.toCanvas(0, 0), ...this.toCanvas(...this.size)];
  }
  /** The canvas point under a point of the stage, and back; css px. */
  toCanvas(x, y) {
    return [this.x + x / this.zoom, this.y + y / this.zoom];
  }
  toStage([x, y]) {
    return [(x - this.x) * this.zoom, (y - this.y) * this.zoom];
  }
  fit({ width, height }) {
    const [w, h] = this.size;
    const margin = Math.min(w, h) / 40;
    this.zoom = Math.max(Math.min((w - 2 * margin) / width, (h - 2 * margin) / height, 8), LEAST);
    this.center(width / 2, height / 2);
    this.fitted = true;
  }
  center(x, y) {
    const [w, h] = this.size;
    this.x = x - w / 2 / this.zoom;
    this.y = y - h / 2 / this.zoom;
    this.changed();
  }
  zoomTo(zoom, at = this.size.map((v) => v / 2)) {
    const [x, y] = this.toCanvas(...at);
    this.zoom = Math.min(Math.max(zoom, LEAST), MOST);
    this.x = x - at[0] / this.zoom;
    this.y = y - at[1] / this.zoom;
    this.fitted = false;
    this.changed();
  }
  pan(dx, dy) {
    this.x -= dx / this.zoom;
    this.y -= dy / this.zoom;
    this.fitted = false;
    this.changed();
  }

  /** Wheel, drag and pinch; `tool` may take a drag for itself: tool(point) gives {move(point), end(moved)} or nothing. */
  listen(tool) {
    const { stage } = this, pointers = new Map();
    let drag = null, moved = false, from = null;
    const at = ({ clientX, clientY }) => {
      const { left, top } = stage.getBoundingClientRect(), [width] = this.size, x = clientX - left;
      return [this.share < 1 && x > width ? x - width : x, clientY - top];
    };
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 16 : 1;
      if (event.ctrlKey || !event.shiftKey) this.zoomTo(this.zoom * Math.exp(-event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.0015)), at(event));
      else this.pan(-event.deltaX * unit - event.deltaY * unit, 0);
    }, { passive: false });
    stage.addEventListener("pointerdown", (event) => {
      if (event.button || event.target.closest("button, #divider")) return;
      stage.setPointerCapture(event.pointerId);
      pointers.set(event.pointerId, at(event));
      if (pointers.size === 1) {
        moved = false;
        from = at(event);
        drag = tool(from, event);
      } else {
        drag?.end(false);
        drag = null;
        moved = true;
      }
      stage.classList.toggle("dragging", !drag);
    });
    stage.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId), now = at(event);
      if (!before) return;
      const all = [...pointers.values()];
      pointers.set(event.pointerId, now);
      if (all.length === 2) {
        const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
        const length = ([x, y]) => Math.hypot(x - other[0], y - other[1]) || 1;
        this.zoomTo((this.zoom * length(now)) / length(before), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
        this.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
        return;
      }
      moved ||= Math.hypot(now[0] - from[0], now[1] - from[1]) > 3;
      if (!moved) return;
      if (drag) drag.move(now);
      else this.pan(now[0] - before[0], now[1] - before[1]);
    });
    const end = (event) => {
      if (!pointers.delete(event.pointerId)) return;
      if (!pointers.size) {
        stage.classList.remove("dragging");
        drag?.end(moved);
        drag = null;
        if (!moved && event.type === "pointerup") stage.dispatchEvent(new CustomEvent("picked", { detail: at(event) }));
      }
    };
    stage.addEventListener("pointerup", end);
    stage.addEventListener("pointercancel", end);
  }
}
