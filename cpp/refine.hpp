// Exact integer refinement: splat by splat, the integers that minimise J = SSE + lambda * bits.
#pragma once

#include <cstdint>
#include <vector>

#include "distortion.hpp"
#include "quantizer.hpp"
#include "saturation.hpp"

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

struct SweepPlan {
  double lambda;    // SSE per bit
  uint64_t seed;    // of the order
  double patience;  // splats around which less has changed since their last visit (D^2 a cell) are passed over
  bool pairs;       // also try steps of two integers at once
};

// How much of the picture changed since each splat was last visited, so that later visits can be spared.
struct ChangeMap {
  static constexpr int kCell = 16;  // px; divides the regions that are refined at the same time
  int across = 0, down = 0;
  std::vector<double> energy;  // of all changes so far, by cell

  explicit ChangeMap(Canvas canvas);
  // Calls f(cell's energy) for the cells that a box, clipped to the canvas, touches; returns their number.
  template <class F>
  int visit(Box box, F f);
  void add(Box box, double change);
  // Changes so far, the mean of the cells of a box.
  double mean(Box box);
};

class Refiner {
 public:
  // integers: [N, C + 5] k, area, aspect, angle, iy, ix; removed splats have all k = 0.
  // negative_target: [C, H, W] background - image; distortion: null for SSE. All are kept by reference.
  Refiner(std::vector<int32_t> integers, const Array<float>& negative_target, const Saturation& saturation,
          const Distortion* distortion, const Device& device, Canvas canvas, int channels, double step, int chroma_step,
          double cutoff);

  // One sweep over all splats in random order. The result is the same for any number of threads. With a negative
  // patience no splat is passed over.
  RefineResult sweep(const SweepPlan& plan, const RateTables& rates);

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
  // The pixels that matter most to a splat.
  Box core(const Geometry& g) const;
  // What changes the picture when a splat's integers go from a to b, in units of D^2, about.
  double change(const int32_t* a, const int32_t* b) const;
  void refine_one(int n, const SweepPlan& plan, const RateTables& rates, const Region& region, int threads,
                  RefineResult* result);

  std::vector<int32_t> integers_;
  const Array<float>* negative_target_;
  const Saturation* saturation_;
  const Distortion* distortion_;
  Device device_;
  Array<float> residual_;
  std::vector<Array<float>> levels_;  // the residual at the distortion's levels 1 and up
  Canvas canvas_;
  int channels_, width_;
  ColorSteps steps_;
  float component_steps_[kMaxChannels];
  const float* basis_;
  float cutoff_;
  ChangeMap changes_;
  std::vector<double> seen_;  // the mean of the changes around each splat when it was visited last
};

}  // namespace splat2d
