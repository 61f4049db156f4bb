// Pictures at a half, a quarter, ... of their size, for what is smooth enough to be drawn there at a fraction of the
// work.
//
// A level has four columns and rows more than half of those below: x there is x / 2 + 2, so that cubic interpolation
// needs no border rule. A Gaussian of deviation s px of its level comes out within 5 / s^4 per cent of its height.
#pragma once

#include <vector>

#include "device/device.hpp"
#include "device/slice.hpp"

namespace splat2d {

class Pyramid {
 public:
  static constexpr int kMaxLevels = 4;  // above the picture itself

  // For so many planes at a time.
  Pyramid(Canvas canvas, int planes);

  // Levels that a picture has above itself, which is level 0.
  static int levels_of(Canvas canvas);
  Canvas canvas(int level) const { return canvases_[level]; }
  // [planes, H, W] of a level from 1 on.
  float* picture(int level) { return pictures_[level - 1].data(); }

  // The pictures of level - 1, of which there may be fewer than there is room for, = base + those of `level`, enlarged.
  // Base may be out, or null for 0.
  void enlarge(const Device& device, int planes, int level, const float* base, float* out);
  // The transpose: the pictures of `level` of those of level - 1.
  void shrink(const Device& device, int planes, const float* from, int level);

  static Place place(int level) {
    const float scale = 1.0f / static_cast<float>(1 << level);
    return {scale, 4.0f * (1.0f - scale)};
  }

 private:
  std::vector<Canvas> canvases_;
  std::vector<Array<float>> pictures_;
};

}  // namespace splat2d
