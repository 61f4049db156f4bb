// Matching-pursuit seeding: new splats at the scale-space peaks of the residual.
#include <algorithm>
#include <cmath>
#include <random>

#include "fit/fitter.hpp"

namespace splat2d {

// Moves seeds, with the density of where they were, to pixels drawn with probability proportional to the squared error,
// and makes them round.
void Fitter::scatter(std::vector<Candidate>* seeds) const {
  const Canvas canvas = film_.footage().canvas;
  const int w = canvas.width, h = canvas.height;
  const size_t plane = canvas.area();
  const std::vector<float> errors = error().host();
  std::vector<double> below(plane);
  double total = 0;
  for (size_t i = 0; i < plane; ++i) {
    for (int c = 0; c < channels_; ++c) total += static_cast<double>(errors[c * plane + i]) * errors[c * plane + i];
    below[i] = total;
  }
  std::mt19937 random(static_cast<uint32_t>(count()));
  for (Candidate& s : *seeds) {
    const double at = total * (random() / 4294967296.0);
    const auto pixel = std::min<size_t>(std::upper_bound(below.begin(), below.end(), at) - below.begin(), plane - 1);
    const int px = static_cast<int>(pixel % w), py = static_cast<int>(pixel / w);
    s.x = static_cast<float>(px) + 0.5f;
    s.y = static_cast<float>(py) + 0.5f;
    // Curvature of a Gaussian's own blur, so that both deviations become the scale.
    s.hxx = s.hyy = 0.5f / (s.scale * s.scale);
    s.hxy = 0;
    std::fill_n(s.blurred, kMaxChannels, 0.0f);
    const int r = static_cast<int>(std::ceil(3 * s.scale));
    float weights = 0;
    for (int y = py - r; y <= py + r; ++y)
      for (int x = px - r; x <= px + r; ++x) {
        const float g =
            std::exp(-0.5f * static_cast<float>((x - px) * (x - px) + (y - py) * (y - py)) / (s.scale * s.scale));
        weights += g;
        if (x < 0 || y < 0 || x >= w || y >= h) continue;
        for (int c = 0; c < channels_; ++c) s.blurred[c] -= g * errors[c * plane + static_cast<size_t>(y) * w + x];
      }
    for (int c = 0; c < channels_; ++c) s.blurred[c] /= weights;
  }
}

Fit::SeedResult Fitter::plant(const SeedOptions& options) {
  const int C = channels_;
  const Canvas canvas = film_.footage().canvas;
  std::vector<Candidate> seeds =
      suppress(find_peaks(device_, {canvas, error(0), -1}, 1, C, options, film_.distortion(0), &seed_densities_),
               canvas, static_cast<float>(options.separation));
  const int candidates = static_cast<int>(seeds.size());
  size_t taken = 0;
  for (double promised = 0; taken < seeds.size() && !enough_seeds(taken, promised, options.energy * distortion_);)
    promised += seeds[taken++].saved;
  seeds.resize(taken);
  if (options.random) scatter(&seeds);

  std::vector<float> means, frames, ks;
  for (const Candidate& s : seeds) {
    const auto [s1, s2, angle] = shape_of(s);
    const float c = std::cos(angle), n = std::sin(angle);
    means.insert(means.end(), {s.x, s.y});
    frames.insert(frames.end(), {c * s1, -n * s2, n * s1, c * s2});
    add_amplitudes(course_.basis, C, s, options, &ks);
  }
  add(means, frames, ks);
  return {candidates, static_cast<int>(seeds.size())};
}

}  // namespace splat2d
