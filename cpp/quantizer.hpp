// The one definition of quantisation: from a splat's integers to its shape, in integer arithmetic.
//
// docs/FORMAT.md section 4 is this file in words. Everything the bitstream depends on (energy class, tier,
// number of angles, lattice) is exact integer arithmetic; only the last step to float shapes is not.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "raster.hpp"

namespace splat2d {

constexpr int kClasses = 36;        // energy classes: R = 2^(class / 2), class -1 .. 34
constexpr int kTiers = 6;           // classes of area, coarse first
constexpr int kTierWidth = 132372;  // 1.4 / ln 2 in Q16: the widest step of log2(s1 s2), so no tier is empty
constexpr int kPositionBits = 12;   // positions are Q12 px
constexpr int kFinestLattice = 64;  // Q12 px: 1/64 px, so that no leaf has more than 2^22 points
constexpr int kMargin = 64;         // centres may lie this many px outside the canvas
constexpr int kMaxAngles = 4096;
constexpr int kLog2ScaleMin = -2 * 131072;  // log2 s in Q17: s >= 0.25 px
constexpr int kLog2ScaleMax = 11 * 131072;  // s <= 2048 px
constexpr int kMaxColor = 32767;

// The area of a k-d leaf of each tier, log2 px^2: about half the smallest s1 s2 of the tier.
constexpr int kLeafLog2[kTiers] = {10, 8, 6, 4, 3, 2};

struct Tables {
  int64_t exp2[257];         // round(2^(30 + i / 256))
  int64_t sine[257];         // round(2^15 sin(pi i / 512))
  int64_t energy[kClasses];  // smallest 64 R^2 of each class
  Tables();
};

const Tables& tables();

// floor division for a positive divisor
inline int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// 2^(x / 65536) in Q16
int64_t exp2_q16(int64_t x);

int64_t isqrt(int64_t x);

// sin(pi x / 65536) in Q15, 0 <= x <= 65536
int64_t sine_q15(int64_t x);

// Of an angle index out of `count` to the half turn, Q15.
struct Direction {
  int64_t sine, cosine;
};

Direction direction_of(int angle, int count);

// Weights (in eighths) of the colour components in R: 8 for luma and alpha, `chroma_step` for chroma.
struct ColorSteps {
  int channels;
  int weight[kMaxChannels];
};

ColorSteps color_steps(int channels, int chroma_step);

// Rows: components (luma, two opponent axes, alpha); columns: channels. Orthonormal.
const float* color_basis(int channels);

int energy_class(const int* k, const ColorSteps& steps);

// Step of log2 s1 s2 and log2 s1 / s2 in Q16.
int shape_step(int energy_class);

int angle_count(int energy_class, int aspect);

// Tier of an area index, and the range [low, high] of area indices of a tier.
int tier_of(int energy_class, int area);
void area_range(int energy_class, int tier, int* low, int* high);

bool shape_in_range(int energy_class, int area, int aspect);

// The lattice of centres: y = iy * hy, x = ix * hx + ((shear * y) >> 12), all Q12 px from the margin's corner.
struct Lattice {
  int64_t hx, hy, shear;
  int64_t x(int64_t ix, int64_t iy) const { return ix * hx + ((shear * (iy * hy)) >> kPositionBits); }
  int64_t y(int64_t iy) const { return iy * hy; }
  double area() const { return static_cast<double>(hx) * static_cast<double>(hy) / 16777216.0; }  // px^2
};

Lattice make_lattice(int energy_class, int area, int aspect, int angle);

// A box of Q12 coordinates [x0, x1) x [y0, y1) and its lattice points in row order.
struct CellBox {
  int64_t x0, y0, x1, y1;
};

int64_t lattice_points(const Lattice& l, const CellBox& box);
int64_t lattice_index(const Lattice& l, const CellBox& box, int64_t ix, int64_t iy);
bool lattice_point(const Lattice& l, const CellBox& box, int64_t index, int64_t* ix, int64_t* iy);

// Shape as floats.
struct Shape {
  float log_area, log_aspect, angle;  // ln(s1 s2), ln(s1 / s2), rad
  float conic[3];
  float norm;  // L2 norm of the unit-height Gaussian, sqrt(pi s1 s2)
};

Shape make_shape(int energy_class, int area, int aspect, int angle);

// Encoder side. Slimmer Gaussians than about two fifths of a pixel gain nothing at the picture's own size, where they
// are sampled too coarsely, and are brighter and thinner than anything in the picture when it is enlarged.
constexpr float kScaleFloor = 0.42f;      // px, while fitting
constexpr int kLog2ScaleFloor = -183965;  // 0.9 of it in Q17, after rounding
bool worth_coding(int energy_class, int area, int aspect);

// Encoder side: the nearest integers in range; `out` is area, aspect, angle (and iy, ix for the position).
void quantize_shape(int energy_class, double log_s1, double log_s2, double angle, int32_t* out);
void quantize_position(int energy_class, Canvas canvas, double x, double y, int32_t* out);

// Angle index nearest to `angle` rad for this class and aspect.
int nearest_angle(int energy_class, int aspect, double angle);

// Whether lattice point (iy, ix) of this shape lies on the canvas or its margin.
bool on_canvas(const Lattice& lattice, Canvas canvas, int64_t iy, int64_t ix);

}  // namespace splat2d
