// Pixels without a GPU: sums by the native core, layers composited here.
import { numbersOf } from "./draw.js";

// 1 - erfc by Abramowitz and Stegun 7.1.26, to 1.5e-7.
function erf(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const y = 1 - t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))) * Math.exp(-x * x);
  return x < 0 ? -y : y;
}

function edge(d, sigma) {
  if (!sigma) return Math.min(Math.max(d + 0.5, 0), 1);
  const integral = (z) => 0.5 * z * (1 + erf(z / (sigma * Math.SQRT2))) + sigma * Math.exp(-0.5 * (z / sigma) ** 2) / Math.sqrt(2 * Math.PI);
  return integral(d + 0.5) - integral(d - 0.5);
}

function shareAt(edges, x, y) {
  let share = 1;
  for (const { normal, start, sigma, width } of edges) {
    const d = normal[0] * x + normal[1] * y - start;
    share *= edge(d, sigma) - edge(d - width, sigma);
  }
  return share;
}

const clamp = (v, high) => (v > 0 ? (v < high ? v : high) : 0);

const groupsOf = (sum, placement) =>
  sum.groups.map((group) => ({ shapes: group.splats.shapes, count: group.count, placement: numbersOf(placement, group) }));

// Ellipses at so many standard deviations.
function outline(to, { groups }, { matrix: m, offset, extra }, { width, height }, reach) {
  to.strokeStyle = "rgb(255 217 51 / 0.7)";
  to.beginPath();
  for (const { splats: { shapes }, count, time, shift } of groups)
    for (let i = 0; i < 16 * count; i += 16) {
      const [x, y, u, v, ratio, precision, when] = shapes.subarray(i, i + 7), apart = precision ? time - when : 0;
      if (apart * apart * precision > 12.25) continue;
      const px = x + shift[0] + apart * shapes[i + 12], py = y + shift[1] + apart * shapes[i + 13];
      const cx = m[0] * px + m[1] * py + offset[0], cy = m[2] * px + m[3] * py + offset[1];
      const a = [m[0] * u + m[1] * v, m[2] * u + m[3] * v], b = [(m[1] * u - m[0] * v) * ratio, (m[3] * u - m[2] * v) * ratio];
      const xx = a[0] ** 2 + b[0] ** 2 + extra[0], xy = a[0] * a[1] + b[0] * b[1] + extra[1], yy = a[1] ** 2 + b[1] ** 2 + extra[2];
      const middle = (xx + yy) / 2, radius = Math.hypot((xx - yy) / 2, xy), long = reach * Math.sqrt(middle + radius);
      if (cx < -long || cy < -long || cx > width + long || cy > height + long) continue;
      const angle = 0.5 * Math.atan2(2 * xy, xx - yy);
      to.moveTo(cx + long * Math.cos(angle), cy + long * Math.sin(angle));
      to.ellipse(cx, cy, long, reach * Math.sqrt(Math.max(middle - radius, 0)), angle, 0, 2 * Math.PI);
    }
  to.stroke();
}

/** Draws plans on a 2D canvas. */
export class RasterRenderer {
  /** @param {HTMLCanvasElement|OffscreenCanvas|null} canvas @param {import("./core.js").Core} core */
  constructor(canvas, core) {
    this.canvas = canvas;
    this.core = core;
    this.kind = "cpu";
  }

  #sum(sum, placement, view, base) {
    return this.core.sums(view.width, view.height, sum.planes, base, groupsOf(sum, placement));
  }

  /** Premultiplied colours and coverage [height, width, 4] in [0, 1]. */
  planes({ view, items }) {
    const { width, height } = view, out = new Float32Array(4 * width * height);
    const none = [0, 0, 0, 0];
    for (const { state, placement, sum, cover, covered, edges, recolored, grain } of items) {
      const own = this.#sum(sum, placement, view, edges && !cover ? none : sum.base);
      const matte = cover && this.#sum(cover, placement, view, edges ? none : cover.base);
      const share = edges && (cover ?? sum).base.some(Boolean) ? edges : null;
      const noise = grain && this.core.noise(grain.texture, placement, grain.gain, view);
      const { color: K, shift: k, opacity } = state;
      for (let i = 0, j = 0, y = 0; y < height; ++y)
        for (let x = 0; x < width; ++x, ++i, j += 4) {
          const s = share ? shareAt(share, x + 0.5, y + 0.5) : 0;
          let r = own[j], g = own[j + 1], b = own[j + 2], a = 1;
          if (s && !cover) {
            r += s * sum.base[0];
            g += s * sum.base[1];
            b += s * sum.base[2];
          }
          if (covered) a = cover ? clamp(matte[j] + s * cover.base[0], 1) : clamp(own[j + 3] + s * sum.base[3], 1);
          if (noise) {
            const n = cover ? noise[i] : noise[i] * a;
            r = clamp(r, 1) + n;
            g = clamp(g, 1) + n;
            b = clamp(b, 1) + n;
          }
          if (cover) {
            r = clamp(r, 1) * a;
            g = clamp(g, 1) * a;
            b = clamp(b, 1) * a;
          } else {
            r = clamp(r, a);
            g = clamp(g, a);
            b = clamp(b, a);
          }
          if (recolored)
            [r, g, b] = [0, 1, 2].map((c) => clamp(K[3 * c] * r + K[3 * c + 1] * g + K[3 * c + 2] * b + k[c] * a, a));
          const under = 1 - a * opacity;
          out[j] = out[j] * under + r * opacity;
          out[j + 1] = out[j + 1] * under + g * opacity;
          out[j + 2] = out[j + 2] * under + b * opacity;
          out[j + 3] = out[j + 3] * under + a * opacity;
        }
    }
    return out;
  }

  /** Bytes [height, width, 4], alpha straight. */
  pixels(drawn) {
    const { view, items: [only, ...others] } = drawn;
    if (only && !others.length && !only.cover && !only.edges && !only.recolored && only.state.opacity === 1)
      return this.core.bytes(view.width, view.height, only.sum.planes, only.sum.base, groupsOf(only.sum, only.placement), only.grain && { ...only.grain, placement: only.placement });
    return straightBytes(this.planes(drawn));
  }

  /** Draw on the canvas; options as of `GlRenderer`. */
  draw(drawn, { outlines = 0 } = {}) {
    const { width, height } = drawn.view;
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    const to = this.canvas.getContext("2d");
    to.putImageData(new ImageData(this.pixels(drawn), width, height), 0, 0);
    if (outlines) for (const { sum, placement } of drawn.items) outline(to, sum, placement, drawn.view, outlines);
  }

  forget() {
    this.core.drop();
  }
}

export function straightBytes(planes) {
  const out = new Uint8ClampedArray(planes.length);
  for (let j = 0; j < planes.length; j += 4) {
    const a = planes[j + 3], over = a > 0.5 / 255 ? 1 / a : 0;
    for (let c = 0; c < 3; ++c) out[j + c] = Math.floor(Math.min(planes[j + c] * over, 1) * 255 + 0.5);
    out[j + 3] = Math.floor(a * 255 + 0.5);
  }
  return out;
}
