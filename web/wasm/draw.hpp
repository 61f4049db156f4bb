// Splats drawn without a GPU: where WebGL2 is missing, or where it would be emulated and slower than this.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>

#include "math/gaussian.hpp"
#include "math/simd.hpp"

namespace splat2d {

// A splat as renderers take it: four times four floats. Its centre, its longer axis times its deviation (px) and the
// ratio of the deviations, shorter over longer; colours and coverage; of a splat that moves the inverse variance in
// time, its time (frames) and its velocity (px a frame); of one of a light field its disparity (px a step of the grid).
enum ShapeField {
  kX,
  kY,
  kAxisX,
  kAxisY,
  kRatio,
  kPrecisionOf,
  kTimeOf,
  kDisparityOf,
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

// Planes of sums [planes, height, stride] of floats; rows have room for a vector to run past their end.
struct Sums {
  Canvas canvas;
  int planes;
  float* data;

  static int stride_of(int width) { return (width + 7) / 4 * 4; }
  int stride() const { return stride_of(canvas.width); }
  size_t plane() const { return static_cast<size_t>(stride()) * canvas.height; }
};

static_assert(kNative == 4);

// Four columns of a Gaussian, cut to 0 where it is under its least value.
template <int kPlanes>
SPLAT2D_INLINE void add_four(const NativeFloat& g, const NativeFloat& least, const NativeFloat* color, float* at,
                             size_t plane) {
  const NativeFloat seen = (NativeFloat)((NativeInt)g & (g >= least));
  for (int c = 0; c < kPlanes; ++c) {
    NativeFloat v;
    std::memcpy(&v, at + c * plane, sizeof v);
    v += seen * color[c];
    std::memcpy(at + c * plane, &v, sizeof v);
  }
}

// From one column to the next, and from one row to the next, a Gaussian is multiplied by ratios, whose own ratios are
// the same everywhere: no exponential but the first. False where the box is large, or its corners so far out that
// their values are none that a float can hold.
template <int kPlanes>
inline bool add_small(const float* centre, const float* conic, float cutoff, Box box, const NativeFloat* color,
                      const Sums& to) {
  constexpr int kMostWidth = 16, kMostHeight = 32;
  constexpr float kFar = 79;
  const int width = box.x1 - box.x0, height = box.y1 - box.y0;
  if (width > kMostWidth || height > kMostHeight) return false;
  const float a = -0.5f * conic[0], b = -conic[1], c = -0.5f * conic[2];
  const float x0 = center_distance(box.x0, centre[0]), x1 = x0 + static_cast<float>((width + 3) / 4 * 4 - 1);
  const float y0 = center_distance(box.y0, centre[1]), y1 = y0 + static_cast<float>(height - 1);
  for (const float x : {x0, x1})
    for (const float y : {y0, y1})
      if (a * x * x + b * x * y + c * y * y < -kFar) return false;
  if (4 * b > kFar || 4 * b < -kFar) return false;
  const NativeFloat dx = x0 + NativeFloat{0, 1, 2, 3};
  v16 power;
  power.part[0] = dx * (a * dx + b * y0) + c * y0 * y0;
  power.part[1] = a * (8.0f * dx + 16.0f) + 4.0f * b * y0;  // from four columns to the next
  power.part[2] = b * dx + c * (2.0f * y0 + 1.0f);          // from a row to the next
  power.part[3] = NativeFloat{32.0f * a, 4.0f * b, 2.0f * c, -0.5f * cutoff};
  const v16 values = exp_negative(clamp(power, -kFar, kFar));
  NativeFloat first = values.part[0], across = values.part[1], down = values.part[2];
  const NativeFloat bend = NativeFloat{} + values.part[3][0], shear = NativeFloat{} + values.part[3][1];
  const NativeFloat sag = NativeFloat{} + values.part[3][2], least = NativeFloat{} + values.part[3][3];
  const size_t plane = to.plane();
  float* row = to.data + static_cast<size_t>(box.y0) * to.stride() + box.x0;
  for (int y = 0; y < height; ++y, row += to.stride()) {
    NativeFloat g = first, ratio = across;
    for (int x = 0; x < width; x += 4) {
      add_four<kPlanes>(g, least, color, row + x, plane);
      g *= ratio;
      ratio *= bend;
    }
    first *= down;
    down *= sag;
    across *= shear;
  }
  return true;
}

// Row by row, each from its first column within the ellipse to its last.
template <int kPlanes>
inline void add_rows(const Ellipse& e, Box box, const NativeFloat* color, const Sums& to) {
  // Begun anew now and then along a row, since each product is rounded.
  constexpr int kRun = 128;  // px
  const NativeFloat lanes = {0.5f, 1.5f, 2.5f, 3.5f};
  const NativeFloat bend = NativeFloat{} + std::exp(-16.0f * e.a), least = NativeFloat{} + std::exp(-0.5f * e.cutoff);
  const size_t plane = to.plane();
  for (int row = box.y0; row < box.y1; ++row) {
    const float dy = center_distance(row, e.my);
    const Span span = row_span(e, dy, box.x0, box.x1);
    const RowTerms t = row_terms(e.a, e.b, e.c, dy);
    float* at = to.data + static_cast<size_t>(row) * to.stride();
    for (int column = span.first; column <= span.last;) {
      const NativeFloat dx = lanes + (static_cast<float>(column) - e.mx);
      v16 power{};
      power.part[0] = dx * (t.a * dx + t.b) + t.c;
      power.part[1] = t.a * (8.0f * dx + 16.0f) + 4.0f * t.b;
      const v16 values = exp_negative(clamp(power, -79.0f, 79.0f));
      NativeFloat g = values.part[0], ratio = values.part[1];
      const int last = span.last < column + kRun ? span.last : column + kRun - 1;
      for (; column <= last; column += 4) {
        add_four<kPlanes>(g, least, color, at + column, plane);
        g *= ratio;
        ratio *= bend;
      }
    }
  }
}

template <int kPlanes>
inline void add_splat(const float* s, const Placement& p, const Sums& to) {
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
  const double* e = p.extra;
  // Most of a large picture's are outside of the view; the box below has a pixel more on each side.
  const auto outside = [](double at, int size, double square) {
    const double apart = at < 0 ? -at : at - size;
    return apart > 2 && (apart - 2) * (apart - 2) > square;
  };
  if (outside(mean[0], to.canvas.width, cutoff * (xx + e[0]))) return;
  if (outside(mean[1], to.canvas.height, cutoff * (yy + e[2]))) return;
  const double area = ux * vy - uy * vx, before = area * area;
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
  const Box box = bounding_box(centre, conic, cutoff, to.canvas);
  if (!ellipse.valid || box.empty()) return;
  NativeFloat color[kPlanes];
  for (int c = 0; c < kPlanes; ++c) color[c] = NativeFloat{} + static_cast<float>(s[kColor + c] * height);
  if (!add_small<kPlanes>(centre, conic, cutoff, box, color, to)) add_rows<kPlanes>(ellipse, box, color, to);
}

}  // namespace splat2d
