// The hot loops, compiled once for each instruction set and picked at load time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "math/gaussian.hpp"

namespace splat2d {

// N Gaussians, or F frames of N: g(x) = exp(-q/2), q = a dx^2 + 2 b dx dy + c dy^2, cut to 0 where q > cutoff.
struct Splats {
  int count;
  int channels;
  const float* means;              // [F, N, 2] x, y in px; pixel (i, j) is sampled at (i + 0.5, j + 0.5)
  const float* conics;             // [F, N, 3] a, b, c in px^-2
  const float* colors;             // [F, N, C]
  const float* cutoffs = nullptr;  // [F, N] of each; null for one of all
  int frames = 1;                  // F

  float cutoff(size_t n, float of_all) const { return cutoffs ? cutoffs[n] : of_all; }
};

// Values are brought nearer to 0 by at most `free` where signs are theirs; nowhere without signs.
struct Headroom {
  const int8_t* signs = nullptr;
  float free = 0;
};

struct Projection {
  float with[kMaxChannels];  // <picture_c, g>
  float self;                // <g, g>
};

// Rows of a tile's accumulator carry sixteen spare columns so that a chunk may run past the edge.
constexpr int kTileWidth = 512, kTileHeight = 32;
constexpr int kTileStride = kTileWidth + 16;
constexpr int kTilePlane = kTileStride * kTileHeight;

// What frames show of a splat of a clip and of the error around it; see cpp/refine/forecast.hpp. [frames], and zeros up
// to a multiple of sixteen.
struct Sightings {
  static constexpr int kMost = 64;
  int count;
  // How far a splat of time 0 and velocity 1 px a frame has gone on either axis: a frame's middle or an eye's place.
  float center[2][kMost];
  float gain[kMost];      // that its heights are multiplied by
  float fade[kMost];      // the splat's height times the gain
  float along[kMost];     // inner products of the error with the colours, for a slice of height 1
  float slope[2][kMost];  // derivatives of the product with the slice by its centre
  float bend[3][kMost];   // second derivatives: xx, xy, yy
};

// A splat moves from one course to another: x, y, time, velocity x, y.
struct CourseChange {
  float from[5], to[5];
  float precision;  // in time, of the second
  float apart[3];   // conic of the product of both by their distance
};

// Sums over the frames: the change of the inner product with the error, and of the products of both heights (and what
// the distance leaves of it) and of the second with itself.
struct Foreseen {
  float drift, shared, self;
};

// A wave under a Gaussian: gain exp(-(a dx^2 + 2 b dx dy + c dy^2) / 2) cos(2 pi (fx dx + fy dy + phase)) at the pixels
// of a box, of which the first lies dx, dy from its centre; cut to 0 where |dx| > reach_x or |dy| > reach_y.
struct Wave {
  float dx, dy, a, b, c, fx, fy, phase, gain, reach_x, reach_y;
};

// Cubic interpolation a quarter of a pixel before the third of four samples.
SPLAT2D_HD constexpr float cubic_tap(int i) {
  constexpr float kTaps[4] = {-0.0390625f, 0.2734375f, 0.8203125f, -0.0546875f};
  return kTaps[i];
}

constexpr int kShrunkRows = 8;  // of a picture, that its transpose makes a row of half as many of

struct Kernels {
  // By channels - 1. Adds a splat to a tile's accumulator [C][kTileHeight][kTileStride].
  void (*accumulate[kMaxChannels])(const Ellipse& e, Box box, Box tile, const float* color, float* buffer);
  // The same about twice as fast, with errors of some 1e-6: for fits.
  void (*sketch[kMaxChannels])(const Ellipse& e, Box box, Box tile, const float* color, float* buffer);
  // Gradients of one splat for the cotangent picture [C, H, W].
  void (*backward[kMaxChannels])(const Ellipse& e, Box box, Canvas canvas, const float* color, const float* picture,
                                 float* v_mean, float* v_conic, float* v_color);
  // A projection and the gradients by centre and conic at once, weighed by a plane unless that is null.
  void (*observe[kMaxChannels])(const Ellipse& e, Box box, Canvas canvas, const float* color, const float* picture,
                                const float* weights, float* v_mean, float* v_conic, Projection* out);
  Foreseen (*foresee)(const Sightings& s, const CourseChange& change);
  // Inner products of one Gaussian with a picture and with itself.
  void (*project[kMaxChannels])(const Ellipse& e, Box box, Canvas canvas, const float* picture, Projection* out);
  // The same weighed by a plane: <w picture_c, g> and <w g, g>.
  void (*project_weighted[kMaxChannels])(const Ellipse& e, Box box, Canvas canvas, const float* picture,
                                         const float* weights, Projection* out);
  // picture += color g
  void (*add[kMaxChannels])(const Ellipse& e, Box box, Canvas canvas, const float* color, float* picture);
  double (*count_pairs)(const Ellipse& e, Box box);

  double (*dot)(const float* a, const float* b, int count);
  void (*add_scaled)(float* a, const float* b, float factor, int count);
  // to = from; returns the sum of squares.
  double (*copy_and_square)(const float* from, float* to, int count);
  // to = from, brought nearer to 0 by at most `free` where signs are those of the values; returns the sum of squares.
  double (*saturate)(const float* from, const int8_t* signs, float free, int count, float* to);
  // out = factor * sum_c picture_c^2 over one row of planes that lie `plane` apart.
  void (*energy_row)(const float* picture, size_t plane, int channels, float factor, int width, float* out);
  // One row of a tile to interleaved bytes; with `unpremultiply` the last channel divides the others.
  void (*bytes_row)(const float* row, int width, int channels, bool unpremultiply, unsigned char* out);
  // out = sum of factors[i] rows[i]
  void (*sum_rows)(const float* const* rows, const float* factors, int count, int width, float* out);
  // The same of rows that lie `stride` apart.
  void (*weigh_rows)(const float* p, size_t stride, const float* weights, int count, int width, float* out);
  // out = a b
  void (*multiply)(const float* a, const float* b, int count, float* out);
  // out = base + a row of half the width, enlarged (cpp/device/pyramid.hpp), and the transpose of that without a base;
  // scratch has room for width + 32.
  void (*widen_row)(const float* coarse, const float* base, int width, float* out);
  void (*narrow_row)(const float* fine, int width, float* scratch, float* out);
  // out[x] = outer (p[2 x - 1] + p[2 x + 2]) + inner (p[2 x] + p[2 x + 1])
  void (*halve_row)(const float* p, float outer, float inner, int count, float* out);
  // Its transpose, added: out[2 x] += outer p[x - 1] + inner p[x], out[2 x + 1] += inner p[x] + outer p[x + 1].
  void (*double_row)(const float* p, float outer, float inner, int count, float* out);
  // out = 0 where signs are not 0 and values are.
  void (*clear_saturated)(const int8_t* signs, const float* values, int count, float* out);
  // Adds a wave to one channel of a tile's accumulator.
  void (*add_wave)(const Wave& w, Box box, Box tile, float* buffer);
  // FMA throughput probe: `rounds` of independent multiply-adds; returns their count.
  double (*peak)(long rounds, float* sink);
};

const Kernels& kernels();

}  // namespace splat2d
