// Tiles, and splats as the kernels that draw them read them.
#pragma once

#include <type_traits>

#include "raster.hpp"

namespace splat2d::gpu {

constexpr int kTile = 16;                 // px; a block draws a tile
constexpr float kLog2E = 1.44269504089f;  // -q/2 times it is a power of two

// A splat in float4s: mean, the three factors of -q/2 in powers of two, colours.
template <int C>
constexpr int kQuads = (5 + C + 3) / 4;

struct Falloff {
  float mx, my, a, b, c;

  // -q/2 in powers of two.
  __device__ float at(float dx, float dy) const { return dx * (a * dx + b * dy) + c * dy * dy; }
};

__device__ inline Falloff falloff_of(const float* mean, const float* conic) {
  return {mean[0], mean[1], -0.5f * kLog2E * conic[0], -kLog2E * conic[1], -0.5f * kLog2E * conic[2]};
}

__host__ __device__ inline float limit_of(float cutoff) { return -0.5f * kLog2E * cutoff; }

// Whether a splat reaches its cut-off anywhere in a rectangle [x0, x1] x [y0, y1] of px, or nearly so.
__device__ inline bool touches(const Falloff& f, float x0, float y0, float x1, float y1, float limit) {
  x0 -= f.mx;
  x1 -= f.mx;
  y0 -= f.my;
  y1 -= f.my;
  // It is highest at its mean, or on the sides that face it.
  const float dx = clamp(0.0f, x0, x1), dy = clamp(0.0f, y0, y1);
  const float along_x = clamp(quotient(-0.5f * f.b * dy, f.a), x0, x1),
              along_y = clamp(quotient(-0.5f * f.b * dx, f.c), y0, y1);
  const float on_side = f.at(dx, along_y), on_top = f.at(along_x, dy);
  const float highest = on_side > on_top ? on_side : on_top;
  // Far from a needle's mean the terms cancel, and what is left of them is as exact as they are large.
  const float width = x1 > -x0 ? x1 : -x0, height = y1 > -y0 ? y1 : -y0;
  const float rounding = 1e-6f * (f.a * width * width + f.c * height * height);
  return highest >= 1.001f * limit + rounding;
}

// Calls f with the number of channels as a constant.
template <class F>
void with_channels(int channels, F f) {
  switch (channels) {
    case 1:
      return f(std::integral_constant<int, 1>());
    case 2:
      return f(std::integral_constant<int, 2>());
    case 3:
      return f(std::integral_constant<int, 3>());
    default:
      return f(std::integral_constant<int, 4>());
  }
}

}  // namespace splat2d::gpu
