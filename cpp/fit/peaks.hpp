// Scale-space peaks of a residual: where a new splat would save most.
//
// A Gaussian of scale sigma placed where the blurred residual is B saves about 4 pi sigma^2 |B|^2 of SSE; its
// shape is read from the Hessian of B.
#pragma once

#include <functional>
#include <vector>

#include "fit/distortion.hpp"

namespace splat2d {

struct Candidate {
  float saved, x, y, scale, hxx, hyy, hxy;
  float density;  // distortion over squares
  float blurred[kMaxChannels];
  int picture = 0;  // of those that it was looked for in
};

// How what is seen goes on, in each frame of a clip: [frames, rows, columns, 2] velocities relative to the camera's
// path, px a frame, of blocks of so many px of the frame.
struct BlockFlow {
  std::vector<float> velocities = {};
  int rows = 0, columns = 0;
  float block = 1;
};

struct SeedOptions {
  double threshold;         // least SSE a seed must promise
  double energy;            // part of the present SSE that a round's seeds may promise together
  double smallest = 0.45;   // px
  double largest = 24.0;    // px
  double ratio = 1.6;       // between scales
  double amplitude = 0.8;   // of the projection
  double separation = 1.2;  // of accepted seeds, in units of their scale
  bool random = false;      // of pictures: round seeds at places drawn by the squared residual, as many and as wide
  // Of clips: standard deviations of the windows in time that seeds are looked for in, frames, besides all of it.
  std::vector<double> durations = {};
  // Of light fields: at which they are looked for, evenly, px a step of the eyes' grid.
  std::vector<double> disparities = {};
  // Of clips: seeds are looked for along these velocities, too.
  BlockFlow flow = {};
};

// Planes [N, C, H, W] of the device that somebody has; times the sign they are what is meant.
struct PlanesView {
  Canvas size;
  const float* data;
  float sign = 1;
};

// Planes [N, C, H, W] of the device.
struct Planes {
  Canvas size;
  Array<float> data;

  PlanesView view() const { return {size, data.data()}; }
};

// What errors weigh under seeds of each scale, by the pixels of its grid; looked up once for a distortion.
using SeedDensities = std::vector<Array<float>>;

// The peaks of `wanted` (what new splats should add up to), so many pictures, that save more than the threshold, scale
// by scale. distortion: null for SSE; densities: empty, or those that an earlier call with the same distortion and
// scales left.
std::vector<Candidate> find_peaks(const Device& device, PlanesView wanted, int pictures, int channels,
                                  const SeedOptions& options, const Distortion* distortion, SeedDensities* densities);

// The same of pictures [C, H, W] that draw(i, to) makes, where all is zero at first; as many at the same time as the
// device works on.
std::vector<Candidate> find_peaks(const Device& device, Canvas size, int pictures, int channels,
                                  const std::function<void(int, float*)>& draw, const SeedOptions& options,
                                  const Distortion* distortion, SeedDensities* densities);

// Greedy suppression: the best first, each blocking a square of its own scale. Returns the survivors.
std::vector<Candidate> suppress(const std::vector<Candidate>& all, Canvas canvas, float separation);

// Whether a round takes no more seeds, the best first, than these, which promise so much of `most` together. The peaks
// of one scale echo in the next, so it takes few while the picture is bare, and all once it is nearly explained.
inline bool enough_seeds(size_t seeds, double promised, double most) {
  constexpr size_t kLeastSeeds = 32;  // whatever they promise
  return seeds >= kLeastSeeds && promised >= most;
}

// The shape that a peak's Hessian asks for: standard deviations (px) with s1 along `angle`.
struct SeedShape {
  float s1, s2, angle;
};

SeedShape shape_of(const Candidate& peak);

// Writes its conic.
void conic_of(const SeedShape& shape, float* conic);

constexpr float kSeedCutoff = 6.0f;  // where a seed's footprint ends

// What a splat of a seed's shape would save.
struct Promise {
  float saved;
  float blurred[kMaxChannels];  // as a candidate's
};

// with [C]: what the errors have in common with it; scale: over its norm; area: pi s1 s2.
SPLAT2D_HD Promise promised(const float* with, int channels, float scale, float area) {
  Promise out = {};
  for (int i = 0; i < channels; ++i) {
    const float k = with[i] * scale;
    out.saved += k * k;
    out.blurred[i] = k / (2 * sqrtf(area));
  }
  return out;
}

// Appends the amplitudes [C] of a seed, for rows of a colour basis.
void add_amplitudes(const float* basis, int channels, const Candidate& peak, const SeedOptions& options,
                    std::vector<float>* k);

}  // namespace splat2d
