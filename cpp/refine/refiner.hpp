// Exact integer refinement: splat by splat, the integers that minimise J = SSE + lambda * bits.
#pragma once

#include <cstdint>
#include <vector>

#include "fit/film.hpp"
#include "refine/visit.hpp"

namespace splat2d {

struct RefineResult {
  int changed, removed;
};

class Refiner {
 public:
  // integers: [N, C + 5] k, area, aspect, angle, iy, ix; removed splats have all k = 0.
  // The film is kept by reference.
  Refiner(std::vector<int32_t> integers, const Film& film, const Device& device, double step, int chroma_step,
          double cutoff);
  Refiner(const Refiner&) = delete;

  // One sweep over all splats in random order. The result is the same for any number of threads. With a negative
  // patience no splat is passed over. The tables are of this machine's memory.
  RefineResult sweep(const SweepPlan& plan, const RateTables& rates);

  std::vector<int32_t> integers() const { return integers_.host(); }
  int count() const { return static_cast<int>(integers_.size()) / width(); }
  int width() const { return model_.width(); }  // of a row of integers
  // Energy classes of all splats, for building tables.
  std::vector<int32_t> classes() const;
  // SSE of the integers, rendered afresh.
  double render();
  // Distortion saved by each splat's presence (without it minus with it).
  std::vector<float> savings();
  // Sets splats' colours to zero without touching the others.
  void remove(const std::vector<int32_t>& indices);

 private:
  Device device_;
  const Film* film_;
  Array<int32_t> integers_;
  Array<float> residual_;
  std::vector<Array<float>> levels_;  // the residual at the distortion's levels 1 and up
  Array<double> energy_;              // of the change map
  Array<double> seen_;                // the mean of the changes around each splat when it was visited last
  RefineModel model_;                 // refers to these arrays
};

}  // namespace splat2d
