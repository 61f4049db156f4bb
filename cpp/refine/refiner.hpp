// Exact integer refinement: splat by splat, the integers that minimise J = D + lambda * bits.
#pragma once

#include <cstdint>
#include <vector>

#include "device/slices.hpp"
#include "fit/film.hpp"
#include "refine/clip_visit.hpp"
#include "refine/visit.hpp"

namespace splat2d {

struct RefineResult {
  int changed, removed;
};

// A refinement of either kind.
class Refinement {
 public:
  virtual ~Refinement() = default;

  // One sweep over all splats in random order. The result is the same for any number of threads. With a negative
  // patience no splat is passed over. The tables are of this machine's memory, and so is `own`, of each splat, or null.
  virtual RefineResult sweep(const SweepPlan& plan, const RateTables& rates, const CodeLengths* own) = 0;
  // SSE of the integers, rendered afresh.
  virtual double render() = 0;
  // Distortion saved by each splat's presence (without it minus with it).
  virtual std::vector<float> savings() = 0;

  std::vector<int32_t> integers() const { return integers_.host(); }
  int count() const { return static_cast<int>(integers_.size()) / width_; }
  int width() const { return width_; }  // of a row of integers
  int channels() const { return film_->channels(); }
  // Energy classes of all splats, for building tables.
  std::vector<int32_t> classes() const;
  // Sets splats' colours to zero without touching the others.
  void remove(const std::vector<int32_t>& indices);

 protected:
  // integers: [N, C + fields]; removed splats have all k = 0. The film is kept by reference.
  Refinement(std::vector<int32_t> integers, int fields, const Film& film, const Device& device, int chroma_step);
  Refinement(const Refinement&) = delete;

  // Draws the residual with splats of the integers, `Splats` or `MovingSplats`; returns the sum of its squares.
  template <class Drawn>
  double draw(const Drawn& splats, float cutoff);
  // The residual of frame t at a level of its distortion.
  VisitModel::Level level(int t, int l);

  Device device_;
  const Film* film_;
  int width_;
  ColorSteps steps_;
  Array<int32_t> integers_;
  Array<float> residual_;                          // [T, C, H, W]
  std::vector<std::vector<Array<float>>> levels_;  // [T] the residual at the distortion's levels 1 and up
  Array<double> energy_;                           // of the change map
  Array<double> seen_;                             // the mean of the changes around each splat when it was visited last
};

// What refinements share whose visits are those of a model: RefineModel's or ClipModel's.
template <class Model, class Geometry, class Notes>
class RefinementOf : public Refinement {
 public:
  RefinementOf(std::vector<int32_t> integers, int fields, const Film& film, const Device& device, double step,
               int chroma_step, double cutoff);

  RefineResult sweep(const SweepPlan& plan, const RateTables& rates, const CodeLengths* own) override;
  std::vector<float> savings() override;

 protected:
  Model model_;  // refers to the arrays
};

// Of a picture: integers [N, C + 5] k, area, aspect, angle, iy, ix.
class Refiner : public RefinementOf<RefineModel, refine::Geometry, refine::Notes> {
 public:
  Refiner(std::vector<int32_t> integers, const Film& film, const Device& device, double step, int chroma_step,
          double cutoff);
  double render() override;
};

// Of several frames: what refinements of clips and of light fields share.
template <class Model>
class PassageRefiner : public RefinementOf<Model, refine::Passage, refine::PassageNotes> {
 public:
  PassageRefiner(std::vector<int32_t> integers, int fields, const Film& film, const Device& device, double step,
                 int chroma_step, double cutoff);
  double render() override;

 private:
  Array<VisitModel::Level> table_;  // of the model
};

// Of a clip: integers [N, C + 9], see cpp/format/course.hpp.
class ClipRefiner : public PassageRefiner<ClipModel> {
 public:
  ClipRefiner(std::vector<int32_t> integers, const Film& film, const Device& device, double step, int chroma_step,
              double cutoff);
};

// Of a light field: integers [N, C + 6], see cpp/format/views.hpp.
class ViewsRefiner : public PassageRefiner<ViewsModel> {
 public:
  ViewsRefiner(std::vector<int32_t> integers, const Film& film, const Eyes& eyes, const Device& device, double step,
               int chroma_step, double cutoff);
};

}  // namespace splat2d
