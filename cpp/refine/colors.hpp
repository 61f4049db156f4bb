// A splat's colours while its integers are refined: their bits, and the best of them for a shape.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "device/device.hpp"
#include "fit/distortion.hpp"
#include "format/quantizer.hpp"
#include "model/code_lengths.hpp"

namespace splat2d {

// Code lengths in bits, indexed from 0; values beyond a table cost its last entry.
struct RateTables {
  static constexpr int kColors = 256, kContexts = 3, kAreas = 512, kAreaOffset = 96, kAspects = 96;
  const float* color;   // [C, 3, 256] magnitudes with sign, context min(|previous component|, 2)
  const float* area;    // [36, 512] of area index + 96, by energy class + 1
  const float* aspect;  // [36, 96]
  double position;      // of a splat of unit lattice area; log2 of the lattice area is subtracted

  // What a clip's splats have beyond a picture's, as cpp/model/courses.hpp codes it; null for pictures.
  static constexpr int kDurations = 64, kLives = 4, kSpeeds = 129, kSpeedOffset = 64;
  const float* duration = nullptr;  // [36, 64] by energy class + 1 and how much shorter than the longest
  const float* time = nullptr;      // [4, 24] of a bin of times by the splat's life
  const float* speed = nullptr;     // [2, 36, 129] y, x by energy class + 1
};

// Those of a splat.
struct Rates {
  const RateTables* all;
  const CodeLengths* own;  // of the entropy coder for its colours and its shape; null where nothing is known

  SPLAT2D_HD bool know_shapes(int energy_class) const { return own && own->energy_class == energy_class; }
};

// What a splat's colours are made of.
struct ColorModel {
  int channels;
  ColorSteps steps;
  float component_steps[kMaxChannels];       // of the colours' integers, in units of the L2 norm
  float basis[kMaxChannels * kMaxChannels];  // rows of the colour basis
  Tint tint;                                 // of the distortion
  float lumas[kMaxChannels];                 // of the rows
};

// That of a file's step and chroma step (eighths).
inline ColorModel color_model(int channels, double step, int chroma_step) {
  ColorModel m;
  m.channels = channels;
  m.steps = color_steps(channels, chroma_step);
  for (int c = 0; c < channels; ++c) m.component_steps[c] = static_cast<float>(step * m.steps.weight[c] / 8.0);
  for (int i = 0; i < channels * channels; ++i) m.basis[i] = color_basis(channels)[i];
  for (int c = 0; c < channels; ++c) {
    const float* row = m.basis + channels * c;
    m.lumas[c] = channels < 3 ? 0.0f : Tint::luma_of(row[0], row[1], row[2]);
  }
  return m;
}

namespace refine {

constexpr float kNever = 1e30f;  // the cost of what cannot be

SPLAT2D_LOOP inline bool any_color(const int32_t* k, int channels) {
  bool any = false;
  each_channel(channels, [&](int c) { any = any || k[c] != 0; });
  return any;
}

SPLAT2D_HD void copy_ints(const int32_t* from, int count, int32_t* to) {
  for (int i = 0; i < count; ++i) to[i] = from[i];
}

SPLAT2D_LOOP inline void color_of(const ColorModel& m, const int32_t* k, float norm, float* color) {
  const int C = m.channels;
  each_channel(C, [&](int j) {
    float s = 0;
    each_channel(C, [&](int i) { s += static_cast<float>(k[i]) * m.component_steps[i] * m.basis[C * i + j]; });
    color[j] = s / norm;
  });
}

// Of component c, before which another had the value `before`.
SPLAT2D_LOOP inline float component_bits(const Rates& rates, int c, int32_t k, int32_t before) {
  if (rates.own && rates.own->energy_class >= -1) return rates.own->color_bits(c, k);
  const int context = c == 2 ? clamp(abs(before), 0, RateTables::kContexts - 1) : 0;
  return rates.all
      ->color[(c * RateTables::kContexts + context) * RateTables::kColors + clamp(abs(k), 0, RateTables::kColors - 1)];
}

// What changes the picture when a splat's `width` integers go from a to b, in units of D^2, about.
SPLAT2D_LOOP inline double change(const ColorModel& m, int width, const int32_t* a, const int32_t* b) {
  double squares = 0;
  each_channel(m.channels, [&](int c) {
    const double step = (a[c] - b[c]) * m.steps.weight[c] / 8.0;
    squares += step * step;
  });
  // A step of the shape or the position moves about as much as a step of the luma.
  for (int i = m.channels; i < width; ++i)
    if (a[i] != b[i]) return squares + 1.0;
  return squares;
}

// One of four. A GPU keeps what is chosen from in registers only if its place is known.
template <class T>
SPLAT2D_LOOP inline T one_of(const T (&v)[4], int i) {
#if defined(__CUDA_ARCH__)
  return i & 2 ? (i & 1 ? v[3] : v[2]) : (i & 1 ? v[1] : v[0]);
#else
  return v[i];
#endif
}

// The best of the colours around each component's optimum, written to `best`, and J over that of the splat's absence.
// raw: inner products with the residual; norm: of the Gaussian; fixed: the price of all but the colours; q: the present
// colours. `free`, where not null, becomes the best colours whatever their energy class.
SPLAT2D_LONG inline float best_colors(const Lanes& lanes, const ColorModel& m, const Rates& rates, float lmbda,
                                      const Projection& raw, float norm, float fixed, int energy_class_of_shape,
                                      const int32_t* q, int32_t* best, int32_t* free) {
  const int C = m.channels;
  Projection sums;
  sums.self = raw.self / (norm * norm);
  const float luma_self = m.tint.luma * sums.self;
  const auto own = [&](int i) { return m.tint.part(i) * sums.self; };
  const auto positive = [](float v) { return v < 1e-6f ? 1e-6f : v; };
  float shared = 0, squares = 0;  // what the components' optima have to do with each other
  int32_t options[kMaxChannels][4];
  each_channel(C, [&](int i) {
    sums.with[i] = 0;
    each_channel(C, [&](int c) { sums.with[i] += m.basis[C * i + c] * raw.with[c]; });
    sums.with[i] /= norm;
    shared += m.lumas[i] * sums.with[i];
    squares += m.lumas[i] * m.lumas[i];
  });
  shared *= luma_self / (positive(own(0)) + luma_self * squares);
  each_channel(C, [&](int i) {
    const float optimum = -(sums.with[i] - m.lumas[i] * shared) / positive(own(i)) / m.component_steps[i];
    constexpr float kMostColor = kMaxColor;
    const int v = static_cast<int>(clamp(nearbyintf(optimum), -kMostColor, kMostColor));
    options[i][0] = v;
    options[i][1] = v > 0 ? v - 1 : v < 0 ? v + 1 : 0;
    options[i][2] = q[i];
    options[i][3] = 0;
  });
  const auto pick = [&](int code, int32_t* k) {
    each_channel(C, [&](int i) { k[i] = one_of(options[i], (code >> (2 * i)) & 3); });
  };
  // What each option adds to the SSE, and its bits, the third component's by the second's.
  float added[kMaxChannels][4], bits[kMaxChannels][4], third[4][4];
  each_channel(C, [&](int i) {
    SPLAT2D_UNROLL
    for (int o = 0; o < 4; ++o) {
      const float v = static_cast<float>(options[i][o]) * m.component_steps[i];
      added[i][o] = v * (2 * sums.with[i] + v * own(i));
      if (i != 2) bits[i][o] = component_bits(rates, i, options[i][o], 0);
    }
  });
  if (C > 2) {
    SPLAT2D_UNROLL
    for (int before = 0; before < 4; ++before) {
      SPLAT2D_UNROLL
      for (int o = 0; o < 4; ++o) third[before][o] = component_bits(rates, 2, options[2][o], options[1][before]);
    }
  }
  const auto third_bits = [&](int before, int o) {
#if defined(__CUDA_ARCH__)
    const float of[4] = {one_of(third[0], o), one_of(third[1], o), one_of(third[2], o), one_of(third[3], o)};
    return one_of(of, before);
#else
    return third[before][o];
#endif
  };
  float least = kNever, free_least = kNever;
  int best_code = 0, free_code = 0;
  for (int code = lanes.lane(); code < 1 << (2 * C); code += Lanes::kCount) {
    float sse = 0, length = 0, luma = 0;
    each_channel(C, [&](int i) {
      const int o = (code >> (2 * i)) & 3;
      sse += one_of(added[i], o);
      luma += m.lumas[i] * m.component_steps[i] * static_cast<float>(one_of(options[i], o));
      length += i == 2 ? third_bits((code >> 2) & 3, o) : one_of(bits[i], o);
    });
    const float j = sse + luma_self * luma * luma + lmbda * length;
    // Colours of zero would be the splat's absence.
    int32_t k[kMaxChannels];
    const auto there = [&] {
      pick(code, k);
      return any_color(k, C);
    };
    if (free && j < free_least && there()) {
      free_least = j;
      free_code = code;
    }
    if (j + fixed >= least || !there() || energy_class(k, m.steps) != energy_class_of_shape) continue;
    least = j + fixed;
    best_code = code;
  }
  lanes.least(&least, &best_code);
  if (free) lanes.least(&free_least, &free_code);
  if (!lanes.first()) return least;
  if (least < kNever) pick(best_code, best);
  if (free && free_least < kNever) pick(free_code, free);
  return least;
}

}  // namespace refine
}  // namespace splat2d
