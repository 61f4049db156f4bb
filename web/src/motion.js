// The motion field of a clip's segment: where a moment shows its splats. docs/FORMAT.md, section 9.6.
import { axesOf } from "./shapes.js";

const MARGIN = 64, UNITS = 256, LEAST_AREA = 0.0625;

/** The knots of a segment of so many frames: how many intervals, and which knot is the middle frame's. */
export function knotsOf(frames, spacing) {
  const middle = Math.floor(frames / 2), reference = Math.ceil(middle / spacing);
  return { middle, reference, intervals: reference + Math.ceil((frames - 1 - middle) / spacing) };
}

/** What each knot counts for at a local time. */
function weightsOf({ middle, reference, intervals }, spacing, time) {
  const place = Math.min(Math.max((time - middle - 0.5) / spacing + reference, 0), intervals);
  const first = Math.min(Math.floor(place), intervals - 1), f = place - first, f2 = f * f, f3 = f2 * f;
  const out = new Float64Array(intervals + 3);
  out.set([(2 * f2 - f3 - f) / 2, (2 - 5 * f2 + 3 * f3) / 2, (f + 4 * f2 - 3 * f3) / 2, (f3 - f2) / 2], first);
  // A knot beyond an end lies where the line through the last two goes.
  const last = intervals + 2;
  out[1] += 2 * out[0];
  out[2] -= out[0];
  out[last - 1] += 2 * out[last];
  out[last - 2] -= out[last];
  return out.subarray(1, last);
}

/** The field's coefficients at a local time, px, x and y in turn. */
export function gridAt({ values, rows, columns, knots, spacing, cell }, time) {
  const size = 2 * rows * columns, grid = new Float32Array(size);
  weightsOf(knots, spacing, time).forEach((w, knot) => {
    if (w) for (let i = 0; i < size; ++i) grid[i] += (w / UNITS) * values[knot * size + i];
  });
  return { grid, rows, columns, cell };
}

// Four coefficients' weights and their slopes along one side; returns the first one's index.
function taps(at, count, cell, weights, slopes) {
  const place = (at + MARGIN) / cell, p = Math.min(Math.max(place, 0), count - 3), i = Math.min(Math.floor(p), count - 4);
  const f = p - i, g = 1 - f, inside = place === p ? 0.5 / cell : 0;
  weights[0] = (g * g * g) / 6;
  weights[1] = (4 - 6 * f * f + 3 * f * f * f) / 6;
  weights[2] = (4 - 6 * g * g + 3 * g * g * g) / 6;
  weights[3] = (f * f * f) / 6;
  slopes[0] = -g * g * inside;
  slopes[1] = (3 * f - 4) * f * inside;
  slopes[2] = (4 - 3 * g) * g * inside;
  slopes[3] = f * f * inside;
  return i;
}

const wx = new Float64Array(4), dx = new Float64Array(4), wy = new Float64Array(4), dy = new Float64Array(4);

/** Where a point of the world is shown, but for the path, and the map's slopes there: x by x, x by y, y by x, y by y. */
export function displaced({ grid, rows, columns, cell }, x, y) {
  const column = taps(x, columns, cell, wx, dx), row = taps(y, rows, cell, wy, dy);
  const to = [x, y], slopes = [1, 0, 0, 1];
  for (let j = 0; j < 4; ++j)
    for (let i = 0; i < 4; ++i)
      for (let a = 0; a < 2; ++a) {
        const v = grid[2 * ((row + j) * columns + column + i) + a];
        to[a] += wx[i] * wy[j] * v;
        slopes[2 * a] += dx[i] * wy[j] * v;
        slopes[2 * a + 1] += wx[i] * dy[j] * v;
      }
  // Where the map folds or nearly so, shapes stay.
  return { to, slopes: slopes[0] * slopes[3] - slopes[1] * slopes[2] >= LEAST_AREA ? slopes : [1, 0, 0, 1] };
}

/** Splats as a moment shows them: they neither move nor turn any more, but still fade. */
export function ridden(splats, motion, time) {
  const field = gridAt(motion, time), shapes = splats.shapes.slice();
  for (let i = 0; i < 16 * splats.count; i += 16) {
    const [x, y, u, v, ratio, precision, when] = shapes.subarray(i, i + 7), apart = precision ? time - when : 0;
    if (apart * apart * precision > 12.25) continue;
    const { to, slopes: m } = displaced(field, x + apart * shapes[i + 12], y + apart * shapes[i + 13]);
    const a = [m[0] * u + m[1] * v, m[2] * u + m[3] * v], b = [(m[1] * u - m[0] * v) * ratio, (m[3] * u - m[2] * v) * ratio];
    const xx = a[0] ** 2 + b[0] ** 2, xy = a[0] * a[1] + b[0] * b[1], yy = a[1] ** 2 + b[1] ** 2;
    shapes.set([...to, ...axesOf(xx, xy, yy, Math.abs(a[0] * b[1] - a[1] * b[0]))], i);
    shapes.fill(0, i + 12, i + 14);
  }
  return { ...splats, shapes };
}
