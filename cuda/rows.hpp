// What loops over rows are made of on a GPU: cpp/device/cpu.hpp's, for a thread that has some of a row's columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device/halving.hpp"
#include "math/kernels.hpp"

namespace splat2d {

__device__ inline void add_scaled(float* a, const float* b, float factor, int count) {
  for (int i = 0; i < count; ++i) a[i] += factor * b[i];
}

// out[x] = base[x] + sum_i factors[i] rows[i], enlarged, for rows of a coarser level of a Pyramid; base may be null.
__device__ inline void enlarge_row(const float* const* rows, const float* factors, int, const float* base, int, int x0,
                                   int x1, float* out) {
  for (int x = x0; x < x1; ++x) {
    const int first = x / 2 + x % 2;
    float sum = base ? base[x] : 0.0f;
    SPLAT2D_UNROLL
    for (int k = 0; k < 4; ++k) {
      float column = 0;
      SPLAT2D_UNROLL
      for (int i = 0; i < 4; ++i) column += factors[i] * rows[i][first + k];
      sum += cubic_tap(x % 2 ? 3 - k : k) * column;
    }
    out[x] = sum;
  }
}

// Its transpose: a row of the coarser level, out of `count` rows.
__device__ inline void shrink_row(const float* const* rows, const float* factors, int count, int width, int x0, int x1,
                                  float* out) {
  for (int x = x0; x < x1; ++x) {
    float sum = 0;
    const auto add = [&](int fine_x, float tap) {
      if (fine_x < 0 || fine_x >= width) return;
      float column = 0;
      SPLAT2D_UNROLL
      for (int i = 0; i < kShrunkRows && i < count; ++i) column += factors[i] * rows[i][fine_x];
      sum += tap * column;
    };
    SPLAT2D_UNROLL
    for (int k = 0; k < 4; ++k) {
      add(2 * (x - k), cubic_tap(k));
      add(2 * (x - 1 - k) + 1, cubic_tap(3 - k));
    }
    out[x] = sum;
  }
}

__device__ inline void weigh_rows(const float* p, size_t stride, const float* weights, int rows, int count,
                                  float* out) {
  for (int x = 0; x < count; ++x) {
    float sum = 0;
    for (int i = 0; i < rows; ++i) sum += weights[i] * p[i * stride + x];
    out[x] = sum;
  }
}

__device__ inline void multiply_row(const float* a, const float* b, int count, float* out) {
  for (int x = 0; x < count; ++x) out[x] = a[x] * b[x];
}

__device__ inline void halve_row(const float* const* rows, const float* factors, int width, float outer, float inner,
                                 int x0, int x1, float* out) {
  for (int x = x0; x < x1; ++x) {
    float sum = 0;
    for (int i = 0; i < 4; ++i) {
      const auto at = [&](int column) { return rows[i][within(column, width)]; };
      sum += factors[i] * (outer * (at(2 * x - 1) + at(2 * x + 2)) + inner * (at(2 * x) + at(2 * x + 1)));
    }
    out[x] = sum;
  }
}

__device__ inline void double_row(const float* const* rows, const float* factors, int count, int width, float outer,
                                  float inner, int to_width, int x0, int x1, float* out) {
  for (int x = x0; x < x1; ++x)
    for_readers(x, to_width, width, outer, inner, [&](int X, float weight) {
      float column = 0;
      for (int i = 0; i < count; ++i) column += factors[i] * rows[i][X];
      out[x] += weight * column;
    });
}

__device__ inline void clear_saturated(const int8_t* signs, const float* error, int count, float* out) {
  for (int x = 0; x < count; ++x)
    if (signs[x] != 0 && error[x] == 0) out[x] = 0;
}

// Here sums are `dots`.
__device__ inline double dot_row(const float*, const float*, int) { return 0; }

__device__ inline void weigh_columns(const float* p, int width, const float* weights, int radius, int x0, int x1,
                                     float* out) {
  for (int x = x0; x < x1; ++x) {
    float sum = 0;
    for (int i = x < radius ? -x : -radius; i <= radius && x + i < width; ++i) sum += weights[i] * p[x + i];
    out[x] = sum;
  }
}

__device__ inline void energy_row(const float* picture, size_t plane, int channels, float factor, int width,
                                  float* out) {
  for (int x = 0; x < width; ++x) {
    float sum = 0;
    for (int c = 0; c < channels; ++c) sum += picture[c * plane + x] * picture[c * plane + x];
    out[x] = factor * sum;
  }
}

}  // namespace splat2d
