// Exact integer refinement of a clip's splats: cpp/refine/refiner.hpp with time.
#pragma once

#include <cstdint>
#include <vector>

#include "device/slices.hpp"
#include "fit/clip_fitter.hpp"
#include "format/course.hpp"
#include "refine/forecast.hpp"
#include "refine/refiner.hpp"

namespace splat2d {

// Code lengths in bits of what a clip's splats have beyond a picture's, as splat2d/codec/courses.py codes them.
struct MovingRates {
  static constexpr int kDurations = 64, kLives = 4, kSpeeds = 129, kSpeedOffset = 64;
  const float* duration;  // [36, 64] by energy class + 1 and how much shorter than the longest
  const float* time;      // [4, 24] of a bin of times by the splat's life
  const float* speed;     // [2, 36, 129] y, x by energy class + 1
};

class ClipRefiner {
 public:
  // integers: [N, C + 9]; removed splats have all k = 0. The fitter's frames are kept by reference.
  ClipRefiner(std::vector<int32_t> integers, const ClipFitter& fitter, double step, int chroma_step, double cutoff);
  ClipRefiner(const ClipRefiner&) = delete;

  // One sweep over all splats in random order. The result is the same for any number of threads.
  RefineResult sweep(const SweepPlan& plan, const RateTables& rates, const MovingRates& moving_rates);

  const std::vector<int32_t>& integers() const { return integers_; }
  int count() const { return static_cast<int>(integers_.size()) / width(); }
  int width() const { return colors_.channels + kMovingFields; }
  std::vector<int32_t> classes() const;
  // SSE of the integers, rendered afresh.
  double render();

 private:
  struct Splat;
  struct Candidate;
  struct Terms;
  bool build(const int32_t* q, int energy_class, Splat* out) const;
  bool build(const int32_t* q, Splat* out) const;
  Box reach_of(const Splat& s, float cutoff) const;
  Projection project(const Team& team, const Splat& s) const;
  Forecast observe(const Team& team, const Splat& s, const float* color) const;
  void add(const Team& team, const Splat& s, const float* color);
  Course course_of(const Splat& s) const;
  bool propose(const Splat& start, const int32_t* from, int move, int32_t* q, Splat* out) const;
  bool change_class(const Splat& start, const int32_t* from, int energy_class, int32_t* q, Splat* out) const;
  float price(const Terms& v, const Candidate& c) const;
  float weigh(const Terms& v, const Projection& sums, Candidate* c, int32_t* free) const;
  float promise(const Terms& v, const Projection& sums, const Candidate& c) const;
  bool may_go(const Terms& v, const Splat& s) const;
  int find_moves(const Terms& v, const Candidate& start, const Forecast& forecast, Candidate* candidates) const;
  // Makes a splat's integers those of the least J near them; seen: changes around it, as of now.
  refine::Outcome visit(const Terms& v, double* seen);
  float bits(const RateTables& rates, const MovingRates& moving_rates, const Splat& s, const int32_t* fields) const;

  const ClipFitter* fitter_;
  Footage footage_;
  Reel reel_;
  ColorModel colors_;
  float cutoff_;
  std::vector<int32_t> integers_;
  Array<float> residual_;       // [T, C, H, W]
  std::vector<double> energy_;  // of the change map, in the world
  ChangeMap changes_;
  std::vector<double> seen_;
};

}  // namespace splat2d
