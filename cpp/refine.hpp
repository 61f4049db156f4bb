// Exact integer refinement: splat by splat, the integers that minimise J = SSE + lambda * bits.
#pragma once

#include <cstdint>
#include <vector>

#include "distortion.hpp"
#include "quantizer.hpp"
#include "raster.hpp"

namespace splat2d {

// Code lengths in bits, indexed from 0; values beyond a table cost its last entry.
struct RateTables {
  static constexpr int kColors = 256, kContexts = 3, kAreas = 512, kAreaOffset = 96, kAspects = 96;
  const float* color;   // [C, 3, 256] magnitudes with sign, context min(|previous component|, 2)
  const float* area;    // [36, 512] of area index + 96, by energy class + 1
  const float* aspect;  // [36, 96]
  double position;      // of a splat of unit lattice area; log2 of the lattice area is subtracted
};

struct RefineResult {
  int changed, removed;
};

class Refiner {
 public:
  // integers: [N, C + 5] k, area, aspect, angle, iy, ix; removed splats have all k = 0.
  // negative_target: [C, H, W] background - image; distortion: null for SSE. Both are kept by reference.
  Refiner(std::vector<int32_t> integers, const std::vector<float>& negative_target, const Distortion* distortion,
          Canvas canvas, int channels, double step, int chroma_step, double cutoff, int threads);

  // One sweep over all splats in an order drawn from `seed`. The result is the same for any number of threads.
  RefineResult sweep(double lambda, const RateTables& rates, uint64_t seed);

  const std::vector<int32_t>& integers() const { return integers_; }
  int count() const { return static_cast<int>(integers_.size()) / width_; }
  int width() const { return width_; }  // of a row of integers
  // Energy classes of all splats, for building tables.
  std::vector<int32_t> classes() const;
  // SSE of the integers, rendered afresh.
  double render();
  // Distortion saved by each splat's presence (without it minus with it).
  std::vector<float> savings();
  // Sets splats' colours to zero without touching the others.
  void remove(const std::vector<int32_t>& indices);

 private:
  struct Geometry;
  struct Region;
  bool build(const int32_t* q, Geometry* g) const;
  void color_of(const int32_t* k, float norm, float* color) const;
  // Inner products with the residual, weighed by the distortion.
  void project(const Geometry& g, Projection* out) const;
  void add(const Geometry& g, const float* color);
  // Whether the splat stays within a box at every level.
  bool inside(const Geometry& g, const Box& box) const;
  void refine_one(int n, double lambda, const RateTables& rates, const Region& region, int threads,
                  RefineResult* result);

  std::vector<int32_t> integers_;
  const std::vector<float>* negative_target_;
  const Distortion* distortion_;
  std::vector<float> residual_;
  std::vector<std::vector<float>> levels_;  // the residual at the distortion's levels 1 and up
  Canvas canvas_;
  int channels_, width_;
  ColorSteps steps_;
  float component_steps_[kMaxChannels];
  const float* basis_;
  float cutoff_;
  int threads_;
};

}  // namespace splat2d
