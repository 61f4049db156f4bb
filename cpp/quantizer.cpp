#include "quantizer.hpp"

namespace splat2d {

namespace {

constexpr double kPi = 3.14159265358979323846;
constexpr double kLn2 = 0.69314718055994530942;

// c * 2^(-energy_class / 2) from c and c / sqrt(2), both integers
int64_t by_class(int64_t even, int64_t odd, int energy_class) {
  const int half = energy_class >= 0 ? energy_class / 2 : -1;  // floor
  const int64_t value = energy_class % 2 == 0 ? even : odd;
  return half >= 0 ? value >> half : value << 1;
}

// Column range of lattice row iy inside the box.
void row_range(const Lattice& l, const CellBox& box, int64_t iy, int64_t* first, int64_t* end) {
  const int64_t offset = (l.shear * (iy * l.hy)) >> kPositionBits;
  *first = -floor_div(-(box.x0 - offset), l.hx);
  *end = -floor_div(-(box.x1 - offset), l.hx);
}

}  // namespace

Tables::Tables() {
  for (int i = 0; i <= 256; ++i) {
    exp2[i] = std::llround(std::exp2(30.0 + i / 256.0));
    sine[i] = std::llround(32768.0 * std::sin(kPi * i / 512.0));
  }
  // Class r begins where 64 R^2 reaches 2^(r + 5.5); 1518500250 is 2^30.5 rounded up.
  constexpr int64_t kRoot = 1518500250;
  for (int r = 0; r < kClasses; ++r) energy[r] = r < 26 ? kRoot >> (26 - r) : kRoot << (r - 26);
  energy[0] = 0;
}

const Tables& tables() {
  static const Tables instance;
  return instance;
}

int64_t isqrt(int64_t x) {
  if (x <= 0) return 0;
  int64_t r = static_cast<int64_t>(std::sqrt(static_cast<double>(x)));
  while (r * r > x) --r;
  while ((r + 1) * (r + 1) <= x) ++r;
  return r;
}

int64_t exp2_q16(int64_t x) {
  const int64_t whole = std::clamp<int64_t>(x >> 16, -30, 30);
  const int64_t fraction = x & 65535;
  const int64_t* e = tables().exp2 + (fraction >> 8);
  const int64_t mantissa = e[0] + (((e[1] - e[0]) * (fraction & 255)) >> 8);
  return whole >= 14 ? mantissa << (whole - 14) : mantissa >> (14 - whole);
}

int64_t sine_q15(int64_t x) {
  const int64_t folded = x <= 32768 ? x : 65536 - x;
  const int64_t i = std::min<int64_t>(folded >> 7, 255);
  const int64_t* s = tables().sine + i;
  return s[0] + (((s[1] - s[0]) * (folded - (i << 7))) >> 7);
}

Direction direction_of(int angle, int count) {
  const int64_t turn = (static_cast<int64_t>(angle) << 16) / count;
  return {sine_q15(turn), turn <= 32768 ? sine_q15(32768 - turn) : -sine_q15(turn - 32768)};
}

ColorSteps color_steps(int channels, int chroma_step) {
  ColorSteps s{channels, {8, 8, 8, 8}};
  if (channels >= 3) s.weight[1] = s.weight[2] = chroma_step;
  return s;
}

const float* color_basis(int channels) {
  static const float grey[4] = {1, 0, 0, 1};
  static const float rgb[9] = {0.57735027f,  0.57735027f, 0.57735027f,  0.70710678f, 0.0f,
                               -0.70710678f, 0.40824829f, -0.81649658f, 0.40824829f};
  static const float rgba[16] = {
      0.57735027f, 0.57735027f, 0.57735027f, 0, 0.70710678f, 0, -0.70710678f, 0, 0.40824829f, -0.81649658f,
      0.40824829f, 0,           0,           0, 0,           1};
  static const float one[1] = {1};
  return channels == 1 ? one : channels == 2 ? grey : channels == 3 ? rgb : rgba;
}

int energy_class(const int* k, const ColorSteps& steps) {
  int64_t energy = 0;
  for (int c = 0; c < steps.channels; ++c) {
    const int64_t v = static_cast<int64_t>(k[c]) * steps.weight[c];
    energy += v * v;
  }
  const int64_t* begin = tables().energy;
  return static_cast<int>(std::upper_bound(begin, begin + kClasses, energy) - begin) - 2;
}

int shape_step(int energy_class) {
  return static_cast<int>(std::clamp<int64_t>(by_class(154116, 108976, energy_class), 64, kTierWidth));
}

int angle_count(int energy_class, int aspect) {
  if (aspect == 0) return 1;
  const int64_t ratio = static_cast<int64_t>(aspect) * shape_step(energy_class);
  const int64_t r = static_cast<int64_t>(energy_class) * 32768;
  const int64_t difference = (exp2_q16(r + ratio) - exp2_q16(r - ratio)) >> 4;
  return static_cast<int>(std::min<int64_t>(1 + ((difference * 6434) >> 24), kMaxAngles));
}

int tier_of(int energy_class, int area) {
  const int64_t u = floor_div(static_cast<int64_t>(area) * shape_step(energy_class), kTierWidth);
  return static_cast<int>(std::clamp<int64_t>(kTiers - 2 - u, 0, kTiers - 1));
}

void area_range(int energy_class, int tier, int* low, int* high) {
  const int64_t step = shape_step(energy_class);
  const int64_t floor_edge = tier == kTiers - 1 ? kLog2ScaleMin : static_cast<int64_t>(kTiers - 2 - tier) * kTierWidth;
  const int64_t end_edge = tier == 0 ? kLog2ScaleMax + 1 : static_cast<int64_t>(kTiers - 1 - tier) * kTierWidth;
  *low = static_cast<int>(-floor_div(-floor_edge, step));
  *high = static_cast<int>(-floor_div(-end_edge, step)) - 1;
}

bool shape_in_range(int energy_class, int area, int aspect) {
  const int64_t step = shape_step(energy_class);
  return aspect >= 0 && (area - aspect) * step >= kLog2ScaleMin && (area + aspect) * step <= kLog2ScaleMax;
}

Lattice make_lattice(int energy_class, int area, int aspect, int angle) {
  const int64_t step = shape_step(energy_class);
  const auto [sine, cosine] = direction_of(angle, angle_count(energy_class, aspect));
  const int64_t v1 = exp2_q16((area + aspect) * step), v2 = exp2_q16((area - aspect) * step);  // variances, Q16
  const int64_t yy = std::max<int64_t>((((sine * sine) >> 15) * v1 + ((cosine * cosine) >> 15) * v2) >> 15, 1);
  const int64_t xy = (((sine * cosine) >> 15) * (v1 - v2)) >> 15;
  const int64_t sy = std::max<int64_t>(isqrt(yy << 16), 1);                     // Q16
  const int64_t sx = (exp2_q16(static_cast<int64_t>(area) * step) << 16) / sy;  // of x given y, Q16
  const int64_t position_step = by_class(92406, 65340, energy_class);
  const auto quantum = [&](int64_t s) {
    return std::clamp<int64_t>((position_step * s) >> 20, kFinestLattice, 32 << kPositionBits);
  };
  return {quantum(sx), quantum(sy), floor_div(xy << kPositionBits, yy)};
}

int64_t lattice_points(const Lattice& l, const CellBox& box) {
  int64_t total = 0, first, end;
  for (int64_t iy = -floor_div(-box.y0, l.hy); iy * l.hy < box.y1; ++iy) {
    row_range(l, box, iy, &first, &end);
    total += end - first;
  }
  return total;
}

int64_t lattice_index(const Lattice& l, const CellBox& box, int64_t ix, int64_t iy_wanted) {
  int64_t total = 0, first, end;
  for (int64_t iy = -floor_div(-box.y0, l.hy); iy < iy_wanted; ++iy) {
    row_range(l, box, iy, &first, &end);
    total += end - first;
  }
  row_range(l, box, iy_wanted, &first, &end);
  return total + ix - first;
}

bool lattice_point(const Lattice& l, const CellBox& box, int64_t index, int64_t* ix, int64_t* iy) {
  int64_t first, end;
  for (*iy = -floor_div(-box.y0, l.hy); *iy * l.hy < box.y1; ++*iy) {
    row_range(l, box, *iy, &first, &end);
    if (index < end - first) {
      *ix = first + index;
      return true;
    }
    index -= end - first;
  }
  return false;
}

Shape make_shape(int energy_class, int area, int aspect, int angle) {
  const double step = shape_step(energy_class) * (kLn2 / 65536.0);
  const double log_area = area * step, log_aspect = aspect * step;
  const double theta = kPi * angle / angle_count(energy_class, aspect);
  const double i1 = std::exp(-(log_area + log_aspect)), i2 = std::exp(-(log_area - log_aspect));
  const double cosine = std::cos(theta), sine = std::sin(theta);
  Shape s;
  s.log_area = static_cast<float>(log_area);
  s.log_aspect = static_cast<float>(log_aspect);
  s.angle = static_cast<float>(theta);
  s.conic[0] = static_cast<float>(cosine * cosine * i1 + sine * sine * i2);
  s.conic[1] = static_cast<float>(cosine * sine * (i1 - i2));
  s.conic[2] = static_cast<float>(sine * sine * i1 + cosine * cosine * i2);
  s.norm = static_cast<float>(std::sqrt(kPi) * std::exp(0.5 * log_area));
  return s;
}

int nearest_angle(int energy_class, int aspect, double angle) {
  const int n = angle_count(energy_class, aspect);
  const int t = static_cast<int>(std::lround(angle * n / kPi)) % n;
  return t < 0 ? t + n : t;
}

bool on_canvas(const Lattice& l, Canvas canvas, int64_t iy, int64_t ix) {
  const int64_t x = l.x(ix, iy), y = l.y(iy);
  return x >= 0 && y >= 0 && x < static_cast<int64_t>(canvas.width + 2 * kMargin) << kPositionBits &&
         y < static_cast<int64_t>(canvas.height + 2 * kMargin) << kPositionBits;
}

bool worth_coding(int energy_class, int area, int aspect) {
  return shape_in_range(energy_class, area, aspect) &&
         static_cast<int64_t>(area - aspect) * shape_step(energy_class) >= kLog2ScaleFloor;
}

void quantize_shape(int energy_class, double log_s1, double log_s2, double angle, int32_t* out) {
  const double step = shape_step(energy_class) * (kLn2 / 65536.0);
  int area = static_cast<int>(std::lround((log_s1 + log_s2) / step));
  int aspect = std::max(static_cast<int>(std::lround((log_s1 - log_s2) / step)), 0);
  area = std::clamp(area, static_cast<int>(std::ceil(-2.7 / step)), static_cast<int>(std::floor(15.2 / step)));
  while (aspect > 0 && !worth_coding(energy_class, area, aspect)) --aspect;
  while (!worth_coding(energy_class, area, aspect) && area < 0) ++area;
  out[0] = area;
  out[1] = aspect;
  out[2] = nearest_angle(energy_class, aspect, angle);
}

void quantize_position(int energy_class, Canvas canvas, double x, double y, int32_t* out) {
  constexpr double kOne = 1 << kPositionBits;
  const Lattice l = make_lattice(energy_class, out[0], out[1], out[2]);
  const double right = (canvas.width + 2 * kMargin) * kOne - 1, bottom = (canvas.height + 2 * kMargin) * kOne - 1;
  const double target_x = std::clamp((x + kMargin) * kOne, 0.0, right);
  int64_t iy = std::llround(std::clamp((y + kMargin) * kOne, 0.0, bottom) / static_cast<double>(l.hy));
  while (l.y(iy) > bottom) --iy;
  const double offset = static_cast<double>((l.shear * l.y(iy)) >> kPositionBits);
  int64_t ix = std::llround((target_x - offset) / static_cast<double>(l.hx));
  while (l.x(ix, iy) > right) --ix;
  while (l.x(ix, iy) < 0) ++ix;
  out[3] = static_cast<int32_t>(iy);
  out[4] = static_cast<int32_t>(ix);
}

}  // namespace splat2d
