// The one definition of quantisation: from a splat's integers to its shape, in integer arithmetic.
//
// docs/FORMAT.md section 4 is this file in words. Everything the bitstream depends on (energy class, tier,
// number of angles, lattice) is exact integer arithmetic; only the last step to float shapes is not. What a kernel of
// the GPU needs too stands here in full.
#pragma once

#include <cmath>
#include <cstdint>

#include "math/gaussian.hpp"

namespace splat2d {

constexpr int kClasses = 36;        // energy classes: R = 2^(class / 2), from -1 to 33 for the largest colours
constexpr int kTiers = 6;           // classes of area, coarse first
constexpr int kTierWidth = 132372;  // 1.4 / ln 2 in Q16: the widest step of log2(s1 s2), so no tier is empty
constexpr int kPositionBits = 12;   // positions are Q12 px
constexpr int kFinestLattice = 64;  // Q12 px: 1/64 px, so that no leaf has more than 2^22 points
constexpr int kMargin = 64;         // centres may lie this many px outside the canvas
constexpr int kMaxAngles = 4096;
constexpr int kLog2ScaleMin = -2 * 131072;  // log2 s in Q17: s >= 0.25 px
constexpr int kLog2ScaleMax = 11 * 131072;  // s <= 2048 px
constexpr int kMaxColor = 32767;
constexpr double kHalfTurn = 3.14159265358979323846;  // rad
constexpr double kLn2 = 0.69314718055994530942;

// The area of a k-d leaf of each tier, log2 px^2: about half the smallest s1 s2 of the tier.
SPLAT2D_HD constexpr int leaf_log2(int tier) {
  constexpr int kLeafLog2[kTiers] = {10, 8, 6, 4, 3, 2};
  return kLeafLog2[tier];
}

struct Tables {
  int64_t exp2[257];         // round(2^(30 + i / 256))
  int64_t sine[257];         // round(2^15 sin(pi i / 512))
  int64_t energy[kClasses];  // smallest 64 R^2 of each class
};

// No entry lies so close to a half that the last bits of these sums matter.
SPLAT2D_HD constexpr Tables make_tables() {
  Tables t{};
  for (int i = 0; i <= 256; ++i) {
    const double x = kLn2 * i / 256, turn = kHalfTurn * i / 512;
    double exponential = 0, sine = 0;
    for (int n = 24; n > 0; --n) {
      exponential = (1 + exponential) * x / n;
      sine = (1 - sine) * turn * turn / (2 * n * (2 * n + 1));
    }
    t.exp2[i] = static_cast<int64_t>((1 + exponential) * (1 << 30) + 0.5);
    t.sine[i] = static_cast<int64_t>((1 - sine) * turn * 32768 + 0.5);
  }
  // Class r begins where 64 R^2 reaches 2^(r + 5.5); 1518500250 is 2^30.5 rounded up.
  constexpr int64_t kRoot = 1518500250;
  for (int r = 1; r < kClasses; ++r) t.energy[r] = r < 26 ? kRoot >> (26 - r) : kRoot << (r - 26);
  return t;
}

#if defined(__CUDACC__)
// Of a GPU's memory for constants, since threads wait for the rest of it.
static __constant__ const Tables kDeviceTables = make_tables();
#endif

SPLAT2D_HD const Tables& tables() {
#if defined(__CUDA_ARCH__)
  return kDeviceTables;
#else
  static constexpr Tables instance = make_tables();
  return instance;
#endif
}

// floor division for a positive divisor
SPLAT2D_HD int64_t floor_div(int64_t a, int64_t b) {
#if defined(__CUDA_ARCH__)
  // A GPU has no division of integers; that of doubles is off by little.
  int64_t q = static_cast<int64_t>(floor(static_cast<double>(a) / static_cast<double>(b)));
  while (q * b > a) --q;
  while (a - q * b >= b) ++q;
  return q;
#else
  return a >= 0 ? a / b : -((-a + b - 1) / b);
#endif
}

// 2^(x / 65536) in Q16
SPLAT2D_HD int64_t exp2_q16(int64_t x) {
  const int64_t whole = clamp<int64_t>(x >> 16, -30, 30);
  const int64_t fraction = x & 65535;
  const int64_t* e = tables().exp2 + (fraction >> 8);
  const int64_t mantissa = e[0] + (((e[1] - e[0]) * (fraction & 255)) >> 8);
  return whole >= 14 ? mantissa << (whole - 14) : mantissa >> (14 - whole);
}

SPLAT2D_HD int64_t isqrt(int64_t x) {
  if (x <= 0) return 0;
  int64_t r = static_cast<int64_t>(sqrt(static_cast<double>(x)));
  while (r * r > x) --r;
  while ((r + 1) * (r + 1) <= x) ++r;
  return r;
}

// sin(pi x / 65536) in Q15, 0 <= x <= 65536
SPLAT2D_HD int64_t sine_q15(int64_t x) {
  const int64_t folded = x <= 32768 ? x : 65536 - x;
  const int64_t i = clamp<int64_t>(folded >> 7, 0, 255);
  const int64_t* s = tables().sine + i;
  return s[0] + (((s[1] - s[0]) * (folded - (i << 7))) >> 7);
}

// Of an angle index out of `count` to the half turn, Q15.
struct Direction {
  int64_t sine, cosine;
};

SPLAT2D_HD Direction direction_of(int angle, int count) {
  const int64_t turn = (static_cast<uint32_t>(angle) << 16) / static_cast<uint32_t>(count);
  return {sine_q15(turn), turn <= 32768 ? sine_q15(32768 - turn) : -sine_q15(turn - 32768)};
}

// Weights (in eighths) of the colour components in R: 8 for luma and alpha, `chroma_step` for chroma.
struct ColorSteps {
  int channels;
  int weight[kMaxChannels];
};

ColorSteps color_steps(int channels, int chroma_step);

// Rows: components (luma, two opponent axes, alpha); columns: channels. Orthonormal.
const float* color_basis(int channels);

SPLAT2D_HD int energy_class(const int* k, const ColorSteps& steps) {
  int64_t energy = 0;
  each_channel(steps.channels, [&](int c) {
    const int64_t v = static_cast<int64_t>(k[c]) * steps.weight[c];
    energy += v * v;
  });
  int reached = 0;  // classes that begin at this energy or below
  for (int step = 32; step > 0; step /= 2)
    if (reached + step <= kClasses && tables().energy[reached + step - 1] <= energy) reached += step;
  return reached - 2;
}

// c * 2^(-energy_class / 2) from c and c / sqrt(2), both integers
SPLAT2D_HD int64_t by_class(int64_t even, int64_t odd, int energy_class) {
  const int half = energy_class >= 0 ? energy_class / 2 : -1;  // floor
  const int64_t value = energy_class % 2 == 0 ? even : odd;
  return half >= 0 ? value >> half : value << 1;
}

// Step of log2 s1 s2 and log2 s1 / s2 in Q16.
SPLAT2D_HD int shape_step(int energy_class) {
  return static_cast<int>(clamp<int64_t>(by_class(154116, 108976, energy_class), 64, kTierWidth));
}

SPLAT2D_HD int angle_count(int energy_class, int aspect) {
  if (aspect == 0) return 1;
  const int64_t ratio = static_cast<int64_t>(aspect) * shape_step(energy_class);
  const int64_t r = static_cast<int64_t>(energy_class) * 32768;
  const int64_t difference = (exp2_q16(r + ratio) - exp2_q16(r - ratio)) >> 4;
  const int64_t count = 1 + ((difference * 6434) >> 24);
  return static_cast<int>(count < kMaxAngles ? count : kMaxAngles);
}

// Tier of an area index, and the range [low, high] of area indices of a tier.
SPLAT2D_HD int tier_of(int energy_class, int area) {
  const int64_t u = floor_div(static_cast<int64_t>(area) * shape_step(energy_class), kTierWidth);
  return static_cast<int>(clamp<int64_t>(kTiers - 2 - u, 0, kTiers - 1));
}
void area_range(int energy_class, int tier, int* low, int* high);

SPLAT2D_HD bool shape_in_range(int energy_class, int area, int aspect) {
  const int64_t step = shape_step(energy_class);
  return aspect >= 0 && (area - aspect) * step >= kLog2ScaleMin && (area + aspect) * step <= kLog2ScaleMax;
}

// The lattice of centres: y = iy * hy, x = ix * hx + ((shear * y) >> 12), all Q12 px from the margin's corner.
struct Lattice {
  int64_t hx, hy, shear;
  SPLAT2D_HD int64_t x(int64_t ix, int64_t iy) const { return ix * hx + ((shear * (iy * hy)) >> kPositionBits); }
  SPLAT2D_HD int64_t y(int64_t iy) const { return iy * hy; }
  SPLAT2D_HD double area() const { return static_cast<double>(hx) * static_cast<double>(hy) / 16777216.0; }  // px^2
};

// Deviations (Q16 px) of y, and of x where y is known, and x over y of the line through the latter's means, Q12.
struct Spread {
  int64_t x, y, shear;
};

SPLAT2D_HD Spread spread_of(int energy_class, int area, int aspect, const Direction& direction) {
  const int64_t step = shape_step(energy_class);
  const auto [sine, cosine] = direction;
  const int64_t v1 = exp2_q16((area + aspect) * step), v2 = exp2_q16((area - aspect) * step);  // variances, Q16
  const auto positive = [](int64_t v) { return v > 1 ? v : 1; };
  const int64_t yy = positive((((sine * sine) >> 15) * v1 + ((cosine * cosine) >> 15) * v2) >> 15);
  const int64_t xy = (((sine * cosine) >> 15) * (v1 - v2)) >> 15;
  const int64_t sy = positive(isqrt(yy << 16));
  return {floor_div(exp2_q16(static_cast<int64_t>(area) * step) << 16, sy), sy, floor_div(xy << kPositionBits, yy)};
}

SPLAT2D_HD Spread spread_of(int energy_class, int area, int aspect, int angle) {
  return spread_of(energy_class, area, aspect, direction_of(angle, angle_count(energy_class, aspect)));
}

// Step of a centre in units of the deviation, Q16.
SPLAT2D_HD int64_t position_step(int energy_class) { return by_class(92406, 65340, energy_class); }

SPLAT2D_HD Lattice make_lattice(int energy_class, const Spread& spread) {
  const auto quantum = [&](int64_t s) {
    return clamp<int64_t>((position_step(energy_class) * s) >> 20, kFinestLattice, 32 << kPositionBits);
  };
  return {quantum(spread.x), quantum(spread.y), spread.shear};
}

SPLAT2D_HD Lattice make_lattice(int energy_class, int area, int aspect, int angle) {
  return make_lattice(energy_class, spread_of(energy_class, area, aspect, angle));
}

// Whether lattice point (iy, ix) of this shape lies on the canvas or its margin.
SPLAT2D_HD bool on_canvas(const Lattice& l, Canvas canvas, int64_t iy, int64_t ix) {
  const int64_t x = l.x(ix, iy), y = l.y(iy);
  return x >= 0 && y >= 0 && x < static_cast<int64_t>(canvas.width + 2 * kMargin) << kPositionBits &&
         y < static_cast<int64_t>(canvas.height + 2 * kMargin) << kPositionBits;
}

// A box of Q12 coordinates [x0, x1) x [y0, y1) and its lattice points in row order.
struct CellBox {
  int64_t x0, y0, x1, y1;
};

// Those points, counted once and then looked up.
class PointsInCell {
 public:
  PointsInCell() = default;
  PointsInCell(const Lattice& l, const CellBox& box);
  int64_t count() const { return count_; }
  // Lattice and box are those that it was made of.
  bool at(const Lattice& l, const CellBox& box, int64_t index, int64_t* ix, int64_t* iy) const;

 private:
  static constexpr int kKept = 12;  // rows that are remembered; few cells have more
  int64_t count_ = 0, first_row_ = 0;
  int rows_ = 0;  // kKept + 1 for more
  struct Row {
    int32_t first, count;
  } kept_[kKept];
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

#if defined(__CUDA_ARCH__)
// 2^(-x / 65536), as floats have it: functions of doubles take a GPU long.
__device__ inline double inverse_power(int x) {
  return ldexpf(exp2f(static_cast<float>(x & 65535) * (-1.0f / 65536)), -(x >> 16));
}
#endif

SPLAT2D_HD Shape make_shape(int energy_class, int area, int aspect, int angle) {
  const int q16 = shape_step(energy_class), angles = angle_count(energy_class, aspect);
  const double step = q16 * (kLn2 / 65536.0), log_area = area * step, log_aspect = aspect * step;
  const double theta = kHalfTurn * angle / angles;
  Shape s;
  s.log_area = static_cast<float>(log_area);
  s.log_aspect = static_cast<float>(log_aspect);
  s.angle = static_cast<float>(theta);
#if defined(__CUDA_ARCH__)
  const double i1 = inverse_power((area + aspect) * q16), i2 = inverse_power((area - aspect) * q16);
  float sine_of, cosine_of;
  sincospif(static_cast<float>(angle) / static_cast<float>(angles), &sine_of, &cosine_of);
  const double cosine = cosine_of, sine = sine_of;
  s.norm = sqrtf(static_cast<float>(kHalfTurn / inverse_power(area * q16)));
#else
  const double i1 = exp(-(log_area + log_aspect)), i2 = exp(-(log_area - log_aspect));
  const double cosine = cos(theta), sine = sin(theta);
  s.norm = static_cast<float>(sqrt(kHalfTurn) * exp(0.5 * log_area));
#endif
  s.conic[0] = static_cast<float>(cosine * cosine * i1 + sine * sine * i2);
  s.conic[1] = static_cast<float>(cosine * sine * (i1 - i2));
  s.conic[2] = static_cast<float>(sine * sine * i1 + cosine * cosine * i2);
  return s;
}

// Encoder side. Slimmer Gaussians than about two fifths of a pixel gain nothing at the picture's own size, where they
// are sampled too coarsely, and are brighter and thinner than anything in the picture when it is enlarged.
constexpr float kScaleFloor = 0.42f;      // px, while fitting
constexpr int kLog2ScaleFloor = -183965;  // 0.9 of it in Q17, after rounding

SPLAT2D_HD bool worth_coding(int energy_class, int area, int aspect) {
  return shape_in_range(energy_class, area, aspect) &&
         static_cast<int64_t>(area - aspect) * shape_step(energy_class) >= kLog2ScaleFloor;
}

// Angle index nearest to `angle` rad for this class and aspect.
SPLAT2D_HD int nearest_angle(int energy_class, int aspect, double angle) {
  const int n = angle_count(energy_class, aspect);
  const int t = static_cast<int>(lround(angle * n / kHalfTurn)) % n;
  return t < 0 ? t + n : t;
}

// Encoder side: the nearest integers of amplitudes; false where all are 0.
inline bool quantize_colors(const float* k, const float* steps, int channels, int32_t* out) {
  constexpr float kMost = kMaxColor;
  bool any = false;
  for (int c = 0; c < channels; ++c) {
    out[c] = static_cast<int>(clamp(std::nearbyint(k[c] / steps[c]), -kMost, kMost));
    any = any || out[c] != 0;
  }
  return any;
}

// Encoder side: the nearest integers in range; `out` is area, aspect, angle (and iy, ix for the position).
SPLAT2D_HD void quantize_shape(int energy_class, double log_s1, double log_s2, double angle, int32_t* out) {
  const double step = shape_step(energy_class) * (kLn2 / 65536.0);
  int area = static_cast<int>(lround((log_s1 + log_s2) / step));
  int aspect = static_cast<int>(lround((log_s1 - log_s2) / step));
  aspect = aspect > 0 ? aspect : 0;
  area = clamp(area, static_cast<int>(ceil(-2.7 / step)), static_cast<int>(floor(15.2 / step)));
  while (aspect > 0 && !worth_coding(energy_class, area, aspect)) --aspect;
  while (!worth_coding(energy_class, area, aspect) && area < 0) ++area;
  out[0] = area;
  out[1] = aspect;
  out[2] = nearest_angle(energy_class, aspect, angle);
}

SPLAT2D_HD void quantize_position(int energy_class, Canvas canvas, double x, double y, int32_t* out) {
  constexpr double kOne = 1 << kPositionBits;
  const Lattice l = make_lattice(energy_class, out[0], out[1], out[2]);
  const double right = (canvas.width + 2 * kMargin) * kOne - 1, bottom = (canvas.height + 2 * kMargin) * kOne - 1;
  const double target_x = clamp((x + kMargin) * kOne, 0.0, right);
  int64_t iy = llround(clamp((y + kMargin) * kOne, 0.0, bottom) / static_cast<double>(l.hy));
  while (l.y(iy) > bottom) --iy;
  const double offset = static_cast<double>((l.shear * l.y(iy)) >> kPositionBits);
  int64_t ix = llround((target_x - offset) / static_cast<double>(l.hx));
  while (l.x(ix, iy) > right) --ix;
  while (l.x(ix, iy) < 0) ++ix;
  out[3] = static_cast<int32_t>(iy);
  out[4] = static_cast<int32_t>(ix);
}

}  // namespace splat2d
