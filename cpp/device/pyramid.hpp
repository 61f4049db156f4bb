// A picture at a half, a quarter, ... of its size, for what is smooth enough to be drawn there at a fraction of the
// work.
//
// A level has four columns and rows more than half of those below: x there is x / 2 + 2, so that cubic interpolation
// needs no border rule. A Gaussian of deviation s px of its level comes out within 5 / s^4 per cent of its height.
#pragma once

#include <vector>

#include "math/kernels.hpp"

namespace splat2d {

// For one thread.
class Pyramid {
 public:
  static constexpr int kMaxLevels = 4;  // above the picture itself

  Pyramid(Canvas canvas, int channels);

  // Levels that a picture has above itself, which is level 0.
  static int levels_of(Canvas canvas);
  Canvas canvas(int level) const { return canvases_[level]; }
  // [C, H, W] of a level from 1 on.
  float* picture(int level) { return planes_[level - 1].data(); }

  // The picture of level - 1 [C, H, W] = base + the picture of `level`, enlarged. Base may be out, or null for 0.
  void enlarge(int level, const float* base, float* out);
  // The transpose: the picture of `level` of that of level - 1.
  void shrink(const float* from, int level);

  // x of level 0 is x * scale + offset there.
  static float scale(int level) { return 1.0f / static_cast<float>(1 << level); }
  static float offset(int level) { return 4.0f * (1.0f - scale(level)); }

 private:
  int channels_;
  std::vector<Canvas> canvases_;
  std::vector<std::vector<float>> planes_;
  std::vector<float> line_, scratch_, zeros_;  // rows
};

}  // namespace splat2d
