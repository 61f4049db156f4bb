// Gaussians in x, y and t, and what a frame sees of them.
//
// A splat of a clip lies at `mean` at its time and moves by `velocity`; on top of that all follow the camera's path, so
// that a splat of velocity 0 stands still in the world. A frame sees its slice: the conditional 2D Gaussian, fainter
// the farther the frame's time is from the splat's. It is cut where q of all three dimensions exceeds the cut-off.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "math/kernels.hpp"

namespace splat2d {

// px by which a frame shows the world farther to the right and down, never positive.
struct Shift {
  float x, y;
};

struct MovingSplats {
  int count;
  int channels;
  const float* means;       // [N, 3] x, y of the world in px at t, and t in frames; frame i is at i + 0.5
  const float* velocities;  // [N, 2] px a frame
  const float* conics;      // [N, 3] of a slice
  const float* precisions;  // [N] 1 / variance in time, frames^-2
  const float* colors;      // [N, C] at t
};

// Slices of one time, in the order of their splats.
struct Slices {
  std::vector<int> index;    // of the splats
  std::vector<float> apart;  // frames from the splat's time to the slice's
  std::vector<float> fade;   // height over the splat's, times the gain
  std::vector<float> means, conics, colors, cutoffs;

  Splats splats(int channels) const {
    return {static_cast<int>(index.size()), channels, means.data(), conics.data(), colors.data(), cutoffs.data()};
  }
};

// Where slices go that are not drawn at full size (cpp/device/pyramid.hpp): x there is x * scale + offset.
struct Level {
  const uint8_t* of;  // [N] levels; those of one number are wanted
  int number;
  float scale, offset;
};

// gain: that all heights are multiplied by. Without a level all splats are wanted, at full size.
inline void slice(const MovingSplats& s, float time, Shift shift, float cutoff, float gain, Slices* out,
                  const Level* level = nullptr) {
  out->index.clear();
  out->apart.clear();
  out->fade.clear();
  for (int i = 0; i < s.count; ++i) {
    if (level && level->of[i] != level->number) continue;
    const float apart = time - s.means[3 * static_cast<size_t>(i) + 2];
    if (apart * apart * s.precisions[i] < cutoff) {
      out->index.push_back(i);
      out->apart.push_back(apart);
    }
  }
  const size_t n = out->index.size(), C = s.channels;
  out->fade.resize(n);
  out->means.resize(2 * n);
  out->conics.resize(3 * n);
  out->colors.resize(C * n);
  out->cutoffs.resize(n);
  for (size_t j = 0; j < n; ++j) {
    const size_t i = out->index[j];
    const float apart = out->apart[j], q = apart * apart * s.precisions[i], fade = gain * std::exp(-0.5f * q);
    out->fade[j] = fade;
    out->means[2 * j] = s.means[3 * i] + s.velocities[2 * i] * apart + shift.x;
    out->means[2 * j + 1] = s.means[3 * i + 1] + s.velocities[2 * i + 1] * apart + shift.y;
    for (size_t c = 0; c < 3; ++c) out->conics[3 * j + c] = s.conics[3 * i + c];
    for (size_t c = 0; c < C; ++c) out->colors[C * j + c] = s.colors[C * i + c] * fade;
    out->cutoffs[j] = cutoff - q;
  }
  if (!level || level->number == 0) return;
  for (float& v : out->means) v = v * level->scale + level->offset;
  for (float& v : out->conics) v /= level->scale * level->scale;
}

}  // namespace splat2d
