#include "fit/film.hpp"

#include <utility>

namespace splat2d {

namespace {

std::vector<Density> densities_of(const Film::Distortions& distortions) {
  std::vector<Density> out;
  for (const auto& distortion : distortions) out.push_back(distortion->density());
  return out;
}

}  // namespace

Film::Film(const float* frames, int channels, Footage footage, const float* background, Distortions distortions)
    : channels_(channels),
      footage_(std::move(footage)),
      background_(background, background + channels),
      shifts_(footage_.shifts),
      eyes_(footage_.eyes),
      gains_(footage_.gains),
      field_(footage_.field.values),
      negative_(Array<float>::unset(size() * footage_.seen())),
      saturation_(frames, size() * footage_.seen()),
      distortions_(std::move(distortions)),
      densities_(densities_of(distortions_)) {
  retarget(frames);
}

void Film::reweigh(Distortions distortions) {
  distortions_ = std::move(distortions);
  densities_ = Array<Density>(densities_of(distortions_));
}

void Film::retarget(const float* frames) {
  std::vector<float> plane(footage_.canvas.area());  // at a time, for memory
  for (int t = 0; t < seen(); ++t)
    for (int c = 0; c < channels_; ++c) {
      const size_t at = t * size() + c * plane.size();
      for (size_t i = 0; i < plane.size(); ++i) plane[i] = footage_.gains[t] * (background_[c] - frames[at + i]);
      negative_.put(at, plane);
    }
}

}  // namespace splat2d
