// Splats drawn without a GPU: where WebGL2 is missing, or where it would be emulated and slower than this.
#pragma once

#include <cmath>
#include <cstddef>

#include "math/gaussian.hpp"
#include "math/simd.hpp"

namespace splat2d {

// A splat as renderers take it: four times four floats. Its centre, its longer axis times its deviation (px) and the
// ratio of the deviations, shorter over longer; colours and coverage; and of a splat that moves the inverse variance
// in time, its time (frames) and its velocity (px a frame).
enum ShapeField {
  kX,
  kY,
  kAxisX,
  kAxisY,
  kRatio,
  kPrecisionOf,
  kTimeOf,
  kUnused,
  kColor,
  kVelocityX = 12,
  kVelocityY,
  kShapeFields = 16
};

// Where a layer's splats go, by what edits and view make of them: target = matrix (mean + velocity + shift) + offset;
// to covariances in target px^2 the three numbers of `extra` are added, and heights follow the integral. Moving splats
// are seen at `time` (frames); heights are multiplied by `gain`.
struct Placement {
  double matrix[4], offset[2], extra[3], time, shift[2], gain;
};

constexpr float kCutoff = 12.25f;

inline void add_splat(const float* s, const Placement& p, Canvas canvas, float* picture) {
  double x = s[kX] + p.shift[0], y = s[kY] + p.shift[1], gain = p.gain;
  float cutoff = kCutoff;
  if (s[kPrecisionOf] > 0) {
    const double apart = p.time - s[kTimeOf], q = apart * apart * s[kPrecisionOf];
    if (!(q < kCutoff)) return;
    cutoff = static_cast<float>(kCutoff - q);
    gain *= std::exp(-0.5 * q);
    x += s[kVelocityX] * apart;
    y += s[kVelocityY] * apart;
  }
  const double* m = p.matrix;
  const double mean[2] = {m[0] * x + m[1] * y + p.offset[0], m[2] * x + m[3] * y + p.offset[1]};
  // Both axes times their deviations: the covariance is the sum of their squares, its determinant their area squared.
  const double ux = m[0] * s[kAxisX] + m[1] * s[kAxisY], uy = m[2] * s[kAxisX] + m[3] * s[kAxisY];
  const double vx = s[kRatio] * (m[1] * s[kAxisX] - m[0] * s[kAxisY]),
               vy = s[kRatio] * (m[3] * s[kAxisX] - m[2] * s[kAxisY]);
  double xx = ux * ux + vx * vx, xy = ux * uy + vx * vy, yy = uy * uy + vy * vy;
  const double area = ux * vy - uy * vx, before = area * area;
  const double* e = p.extra;
  const double after = before + e[0] * yy + e[2] * xx - 2 * e[1] * xy + e[0] * e[2] - e[1] * e[1];
  if (!(after > 0)) return;
  xx += e[0];
  xy += e[1];
  yy += e[2];
  const double height = gain * std::sqrt(before / after);
  const float centre[2] = {static_cast<float>(mean[0]), static_cast<float>(mean[1])};
  const float conic[3] = {static_cast<float>(yy / after), static_cast<float>(-xy / after),
                          static_cast<float>(xx / after)};
  const Ellipse ellipse = make_ellipse(centre, conic, cutoff);
  const Box box = bounding_box(centre, conic, cutoff, canvas);
  if (!ellipse.valid || box.empty()) return;
  float color[4];
  for (int c = 0; c < 4; ++c) color[c] = static_cast<float>(s[kColor + c] * height);
  const v16 lanes = iota() + 0.5f;
  for (int row = box.y0; row < box.y1; ++row) {
    const float dy = center_distance(row, centre[1]);
    const Span span = row_span(ellipse, dy, box.x0, box.x1);
    const RowTerms t = row_terms(conic[0], conic[1], conic[2], dy);
    float* to = picture + (static_cast<size_t>(row) * canvas.width) * 4;
    for (int column = span.first; column <= span.last; column += kLanes) {
      const v16 dx = lanes + (static_cast<float>(column) - centre[0]);
      const v16 power = exponent(splat(t.a), splat(t.b), splat(t.c), dx);
      // Inside the cut-off, and not beyond the span: what lies there is another row's.
      const v16i inside = where_between(power, splat(-0.5f * cutoff), iota(), static_cast<float>(span.last - column));
      float g[kLanes];
      store(g, keep_where(inside, exp_negative(clamp(power, -79.0f, 0.0f))));
      const int n = span.last - column + 1 < kLanes ? span.last - column + 1 : kLanes;
      float* pixel = to + static_cast<size_t>(column) * 4;
      typedef float Four __attribute__((vector_size(16)));
      const Four four = {color[0], color[1], color[2], color[3]};
      for (int i = 0; i < n; ++i, pixel += 4) {
        Four v;
        std::memcpy(&v, pixel, sizeof v);
        v += four * g[i];
        std::memcpy(pixel, &v, sizeof v);
      }
    }
  }
}

}  // namespace splat2d
