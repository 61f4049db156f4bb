// Exact integer refinement of a light field's splats: cpp/refine/refiner.hpp for several eyes, with moves that are
// foreseen (cpp/refine/forecast.hpp).
#pragma once

#include <cstdint>
#include <vector>

#include "fit/views_fitter.hpp"
#include "refine/forecast.hpp"
#include "refine/refiner.hpp"

namespace splat2d {

class ViewsRefiner {
 public:
  // integers: [N, C + 6]; removed splats have all k = 0. The fitter's views are kept by reference.
  ViewsRefiner(std::vector<int32_t> integers, const ViewsFitter& fitter, double step, int chroma_step, double cutoff);
  ViewsRefiner(const ViewsRefiner&) = delete;

  // One sweep over all splats in random order. The result is the same for any number of threads.
  RefineResult sweep(const SweepPlan& plan, const RateTables& rates);

  const std::vector<int32_t>& integers() const { return integers_; }
  int count() const { return static_cast<int>(integers_.size()) / width(); }
  int width() const { return colors_.channels + kViewFields; }
  std::vector<int32_t> classes() const;
  // SSE of the integers over all views, rendered afresh.
  double render();

 private:
  struct Splat;
  struct Candidate;
  struct Terms;
  bool build(const int32_t* q, int energy_class, Splat* out) const;
  bool build(const int32_t* q, Splat* out) const;
  Box reach_of(const Splat& s, float cutoff) const;
  template <class F>
  void each_view(const Team& team, const Splat& s, F f) const;
  Projection project(const Team& team, const Splat& s) const;
  Forecast observe(const Team& team, const Splat& s, const float* color) const;
  void add(const Team& team, const Splat& s, const float* color);
  bool propose(const Splat& start, const int32_t* from, int move, int32_t* q, Splat* out) const;
  bool change_class(const Splat& start, const int32_t* from, int energy_class, int32_t* q, Splat* out) const;
  void place(const Splat& s, int energy_class, int32_t* f) const;
  float price(const Terms& v, const Candidate& c) const;
  float weigh(const Terms& v, const Projection& sums, Candidate* c, int32_t* free) const;
  float promise(const Terms& v, const Projection& sums, const Candidate& c) const;
  int find_moves(const Terms& v, const Candidate& start, const Forecast& forecast, Candidate* candidates) const;
  refine::Outcome visit(const Terms& v, double* seen);

  const ViewsFitter* fitter_;
  Canvas canvas_;
  std::vector<Eye> places_;
  Eyes eyes_;
  ColorModel colors_;
  float cutoff_;
  std::vector<int32_t> integers_;
  Array<float> residual_;       // [K, C, H, W]
  std::vector<double> energy_;  // of the change map, as the middle eye sees it
  ChangeMap changes_;
  std::vector<double> seen_;
};

}  // namespace splat2d
