#include "fit/film.hpp"

#include <utility>

namespace splat2d {

namespace {

std::vector<float> negative_of(const float* frames, const float* background, int channels, size_t plane,
                               const std::vector<float>& gains) {
  std::vector<float> out(gains.size() * channels * plane);
  for (size_t t = 0; t < gains.size(); ++t)
    for (int c = 0; c < channels; ++c) {
      const size_t at = (t * channels + c) * plane;
      for (size_t i = 0; i < plane; ++i) out[at + i] = gains[t] * (background[c] - frames[at + i]);
    }
  return out;
}

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
      negative_(negative_of(frames, background, channels, footage_.canvas.area(), footage_.gains)),
      saturation_(frames, size() * footage_.seen()),
      distortions_(std::move(distortions)),
      densities_(densities_of(distortions_)) {}

void Film::reweigh(Distortions distortions) {
  distortions_ = std::move(distortions);
  densities_ = Array<Density>(densities_of(distortions_));
}

void Film::retarget(const float* frames) {
  negative_ = Array<float>(negative_of(frames, background_.data(), channels_, footage_.canvas.area(), footage_.gains));
}

}  // namespace splat2d
