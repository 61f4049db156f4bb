// Where a moment shows the points of the world: each is displaced by a smooth field, and shapes follow its slopes.
//
// The field is a cubic B-spline in space; its coefficients at a time come from splat2d/format/motion.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "math/gaussian.hpp"

namespace splat2d {

// A conic as a map of these slopes carries it: J^-T A J^-1.
SPLAT2D_HD void carry_conic(const float* slopes, float* conic) {
  const float inverse = 1 / (slopes[0] * slopes[3] - slopes[1] * slopes[2]);
  const float a = slopes[3] * inverse, b = -slopes[1] * inverse, c = -slopes[2] * inverse, d = slopes[0] * inverse;
  const float xx = conic[0] * a + conic[1] * c, xy = conic[0] * b + conic[1] * d;
  const float yx = conic[1] * a + conic[2] * c, yy = conic[1] * b + conic[2] * d;
  conic[0] = a * xx + c * yx;
  conic[1] = a * xy + c * yy;
  conic[2] = b * xy + d * yy;
}

// The displacements of one time. Without a grid nothing is displaced.
struct Warp {
  const float* grid = nullptr;  // [rows, columns, 2] coefficients of x and y, px
  int rows = 0, columns = 0;
  float cell = 1, margin = 0;  // px; the grid's second coefficient lies a margin before the world's corner

  SPLAT2D_HD explicit operator bool() const { return grid != nullptr; }

  // That of a later frame, whose coefficients follow frame by frame.
  SPLAT2D_HD Warp later(int frames) const {
    return {grid ? grid + 2 * static_cast<size_t>(frames) * rows * columns : nullptr, rows, columns, cell, margin};
  }

  // Moves a point of the world to where it is shown, but for the path, and gives the map's slopes there: d x / d x,
  // d x / d y, d y / d x, d y / d y. Beyond the grid the displacement is that of its edge.
  SPLAT2D_HD void carry(float* point, float* slopes) const {
    float wx[4], dx[4], wy[4], dy[4];
    const int column = taps(point[0], columns, wx, dx), row = taps(point[1], rows, wy, dy);
    float u[2] = {0, 0}, by_x[2] = {0, 0}, by_y[2] = {0, 0};
    for (int j = 0; j < 4; ++j) {
      const float* at = grid + 2 * (static_cast<size_t>(row + j) * columns + column);
      float along[2] = {0, 0}, across[2] = {0, 0};
      for (int i = 0; i < 4; ++i)
        for (int a = 0; a < 2; ++a) {
          along[a] += wx[i] * at[2 * i + a];
          across[a] += dx[i] * at[2 * i + a];
        }
      for (int a = 0; a < 2; ++a) {
        u[a] += wy[j] * along[a];
        by_x[a] += wy[j] * across[a];
        by_y[a] += dy[j] * along[a];
      }
    }
    point[0] += u[0];
    point[1] += u[1];
    slopes[0] = 1 + by_x[0];
    slopes[1] = by_y[0];
    slopes[2] = by_x[1];
    slopes[3] = 1 + by_y[1];
    // Where the map folds or nearly so, shapes stay.
    if (!(slopes[0] * slopes[3] - slopes[1] * slopes[2] >= kLeastArea)) {
      slopes[0] = slopes[3] = 1;
      slopes[1] = slopes[2] = 0;
    }
  }

  // The same for a point's shape, too.
  SPLAT2D_HD void displace(float* point, float* conic, float* slopes) const {
    carry(point, slopes);
    carry_conic(slopes, conic);
  }

  static constexpr float kLeastArea = 0.0625f;  // that a map's slopes may make of 1

 private:
  // The four coefficients' weights and their slopes at a place; returns the first one's index.
  SPLAT2D_HD int taps(float at, int count, float* weights, float* slopes) const {
    const float place = (at + margin) / cell, last = static_cast<float>(count - 3);
    const float p = clamp(place, 0.0f, last);
    const int i = clamp(static_cast<int>(p), 0, count - 4);
    const float f = p - static_cast<float>(i), g = 1 - f;
    weights[0] = g * g * g / 6;
    weights[1] = (4 - 6 * f * f + 3 * f * f * f) / 6;
    weights[2] = (4 - 6 * g * g + 3 * g * g * g) / 6;
    weights[3] = f * f * f / 6;
    const float inside = place == p ? 0.5f / cell : 0.0f;
    slopes[0] = -g * g * inside;
    slopes[1] = (3 * f - 4) * f * inside;
    slopes[2] = (4 - 3 * g) * g * inside;
    slopes[3] = f * f * inside;
    return i;
  }
};

// Bounds of a field's displacements: of their second derivatives, px^-1, and of their first.
struct Bends {
  float bend = 0, slope = 0;

  // How much farther than `reach`, px, a point of the world may lie from a splat that touches the pixel where the point
  // is shown: shapes follow the slopes at the splat's centre only. Endless where the map may fold.
  SPLAT2D_HD float widened(float reach) const {
    const float k = bend / fmaxf(1 - 1.1f * slope, 1e-6f), rest = 1 - 2 * k * reach;
    if (!(rest > 0)) return kEndless;
    return k > 0 ? (1 - sqrtf(rest)) / k - reach : 0.0f;
  }
  static constexpr float kEndless = 1e6f;
};

// The warps of some frames.
struct MotionField {
  int rows = 0, columns = 0;
  float cell = 1, margin = 0;
  std::vector<float> values;  // [T, rows, columns, 2]; none where nothing is displaced

  Bends bends;

  MotionField() = default;
  MotionField(int frames, int rows, int columns, float cell, float margin, const float* coefficients)
      : rows(rows),
        columns(columns),
        cell(cell),
        margin(margin),
        values(coefficients, coefficients + 2 * static_cast<size_t>(frames) * rows * columns) {
    // Derivatives of a B-spline are means of the differences of its coefficients.
    const size_t right = 2, down = 2 * static_cast<size_t>(columns);
    for (int t = 0; t < frames; ++t)
      for (int r = 0; r + 2 < rows; ++r)
        for (int c = 0; c + 2 < columns; ++c) {
          const float* u = &values[((static_cast<size_t>(t) * rows + r) * columns + c) * 2];
          float first[2] = {0, 0}, second[2] = {0, 0};
          for (int a = 0; a < 2; ++a) {
            const float* v = u + a;
            first[a] = std::hypot(v[right] - v[0], v[down] - v[0]);
            second[a] = std::abs(v[0] - 2 * v[right] + v[2 * right]) + std::abs(v[0] - 2 * v[down] + v[2 * down]) +
                        2 * std::abs(v[0] - v[right] - v[down] + v[right + down]);
          }
          bends.slope = std::max(bends.slope, std::hypot(first[0], first[1]) / cell);
          bends.bend = std::max(bends.bend, std::hypot(second[0], second[1]) / (cell * cell));
        }
  }
};

// The transposes: gradients by what is shown become those by what is in the world. That the slopes themselves change
// with the place is left out.
SPLAT2D_HD void bring_back(const float* slopes, float* v_mean, float* v_conic) {
  const float x = v_mean[0], y = v_mean[1];
  v_mean[0] = slopes[0] * x + slopes[2] * y;
  v_mean[1] = slopes[1] * x + slopes[3] * y;
  const float inverse = 1 / (slopes[0] * slopes[3] - slopes[1] * slopes[2]);
  const float a = slopes[3] * inverse, b = -slopes[1] * inverse, c = -slopes[2] * inverse, d = slopes[0] * inverse;
  const float half = 0.5f * v_conic[1];  // of the symmetric matrix
  const float xx = a * v_conic[0] + b * half, xy = a * half + b * v_conic[2];
  const float yx = c * v_conic[0] + d * half, yy = c * half + d * v_conic[2];
  v_conic[0] = a * xx + b * xy;
  v_conic[1] = 2 * (xx * c + xy * d);
  v_conic[2] = c * yx + d * yy;
}

}  // namespace splat2d
