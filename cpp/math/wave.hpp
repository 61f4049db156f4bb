// A wave under a Gaussian, added to one channel of a tile's accumulator.
#pragma once

#include "math/kernels.hpp"
#include "math/simd.hpp"

namespace splat2d {

// As in math/simd.hpp: nothing here may have external linkage.
namespace {

// exp(-precision d^2 / 2) gain cos and sin of 2 pi (frequency d + phase) at d = first, first + 1, ...
SPLAT2D_INLINE void sample_wave(float first, int count, float precision, float reach, float frequency, float phase,
                                float gain, float* cosine, float* sine) {
  const v16 limit = splat(-reach * reach);
  for (int i = 0; i < count; i += kLanes) {
    const v16 d = iota() + (first + static_cast<float>(i)), square = d * d;
    const v16i inside = where_between(square * -1.0f, limit, square, 3e38f);
    const v16 g = exp_negative(keep_where(inside, square * (-0.5f * precision))) * gain;
    v16 c, s;
    turn(d * frequency + phase, &c, &s);
    store(cosine + i, keep_where(inside, g * c));
    store(sine + i, keep_where(inside, g * s));
  }
}

SPLAT2D_INLINE void add_wave(const Wave& w, Box box, Box tile, float* buffer) {
  const int width = box.x1 - box.x0, height = box.y1 - box.y0;
  float* to = buffer + (box.y0 - tile.y0) * kTileStride + (box.x0 - tile.x0);
  if (w.b == 0.0f) {
    // cos(x + y) = cos x cos y - sin x sin y, and so is the Gaussian a product.
    float x[2][kTileStride], y[2][kTileHeight + kLanes];
    sample_wave(w.dx, width, w.a, w.reach_x, w.fx, w.phase, w.gain, x[0], x[1]);
    sample_wave(w.dy, height, w.c, w.reach_y, w.fy, 0.0f, 1.0f, y[0], y[1]);
    for (int i = 0; i < width; i += kLanes) {
      const v16 c = load(x[0] + i), s = load(x[1] + i);
      for (int r = 0; r < height; ++r)
        store(to + r * kTileStride + i, load(to + r * kTileStride + i) + (c * y[0][r] - s * y[1][r]));
    }
    return;
  }
  const v16 limit = splat(-w.reach_x * w.reach_x);
  for (int r = 0; r < height; ++r) {
    const float dy = w.dy + static_cast<float>(r);
    if (dy * dy > w.reach_y * w.reach_y) continue;
    const RowTerms terms = row_terms(w.a, w.b, w.c, dy);
    for (int i = 0; i < width; i += kLanes) {
      const v16 d = iota() + (w.dx + static_cast<float>(i)), square = d * d;
      const v16i inside = where_between(square * -1.0f, limit, square, 3e38f);
      const v16 h = clamp(exponent(splat(terms.a), splat(terms.b), splat(terms.c), d), -79.0f, 0.0f);
      v16 c, s;
      turn(d * w.fx + (w.fy * dy + w.phase), &c, &s);
      store(to + r * kTileStride + i,
            load(to + r * kTileStride + i) + keep_where(inside, exp_negative(h) * w.gain * c));
    }
  }
}

}  // namespace
}  // namespace splat2d
