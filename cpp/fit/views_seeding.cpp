// Matching-pursuit seeding in a light field: peaks of what the views' errors have in common at each disparity.
#include <algorithm>
#include <cmath>

#include "fit/views_fitter.hpp"

namespace splat2d {

struct ViewsFitter::Seed {
  Candidate peak;
  float disparity, saved;
  SeedShape shape;
  float conic[3];
};

namespace {

constexpr int kTrials = 2;  // on either side of a seed's disparity, at a time

using Seed = ViewsFitter::Seed;

struct Sweep {
  const Eye* eyes;
  int views, channels;
  Canvas canvas;
  const float* error;

  SPLAT2D_LOOP Promise promise_of(const Lanes& lanes, const Seed& s, float disparity) const {
    const int C = channels;
    float with[kMaxChannels] = {0, 0, 0, 0};
    for (int t = 0; t < views; ++t) {
      const float mean[2] = {s.peak.x + disparity * eyes[t].u, s.peak.y + disparity * eyes[t].v};
      const Box box = bounding_box(mean, s.conic, kSeedCutoff, canvas);
      if (box.empty()) continue;
      const Projection sums = lanes.project(make_ellipse(mean, s.conic, kSeedCutoff), box, canvas, C,
                                            error + t * canvas.area() * C, nullptr);
      for (int i = 0; i < C; ++i) with[i] -= sums.with[i];
    }
    const float area = fit::kPi * s.shape.s1 * s.shape.s2;
    return promised(with, C, 1 / sqrtf(static_cast<float>(views) * area), area);
  }

  struct Notes {
    Promise trial[2 * kTrials + 1];
    int best;
  };

  // Halves the distance between disparities that are tried, from `reach` on, until it hardly moves the farthest view.
  SPLAT2D_LOOP void settle(const Team& team, Seed* seed, float reach, float spread, Notes* notes) const {
    const float finest = 0.2f * seed->shape.s2 / spread;
    for (float step = reach / kTrials; step > 0; step = step > finest ? step / kTrials : 0) {
      team.each(2 * kTrials + 1, [&](const Lanes& lanes, int i) {
        const Promise promise = promise_of(lanes, *seed, seed->disparity + step * static_cast<float>(i - kTrials));
        if (lanes.first()) notes->trial[i] = promise;
      });
      team.once([&] {
        notes->best = kTrials;
        for (int i = 0; i < 2 * kTrials + 1; ++i)
          if (notes->trial[i].saved > notes->trial[notes->best].saved) notes->best = i;
        seed->disparity += step * static_cast<float>(notes->best - kTrials);
      });
    }
    team.once([&] {
      const Promise& found = notes->trial[notes->best];
      seed->saved = found.saved / seed->peak.density;
      for (int c = 0; c < kMaxChannels; ++c) seed->peak.blurred[c] = found.blurred[c];
    });
  }
};

}  // namespace

void ViewsFitter::gather_at(float disparity, float* to) const {
  const Canvas canvas = film_.footage().canvas;
  const int C = channels_, views = film_.seen();
  const float scale = -1 / std::sqrt(static_cast<float>(views));
  const float* from = error().data();
  const Eye* eyes = course_.reel.eyes;
  device_.for_rows(C * canvas.height, canvas.width, [=] SPLAT2D_LOOP(int row, int x0, int x1) {
    const int c = row / canvas.height, y = row % canvas.height;
    for (int t = 0; t < views; ++t) {
      const int dx = static_cast<int>(lroundf(disparity * eyes[t].u)),
                dy = static_cast<int>(lroundf(disparity * eyes[t].v));
      if (y + dy < 0 || y + dy >= canvas.height) continue;
      const int first = x0 > -dx ? x0 : -dx, end = x1 < canvas.width - dx ? x1 : canvas.width - dx;
      if (first >= end) continue;
      const size_t at = (static_cast<size_t>(t) * C + c) * canvas.area() + static_cast<size_t>(y + dy) * canvas.width;
      add_scaled(to + static_cast<size_t>(row) * canvas.width + first, from + at + first + dx, scale, end - first);
    }
  });
}

void ViewsFitter::settle(std::vector<Seed>* seeds, float reach) const {
  for (Seed& s : *seeds) {
    s.shape = shape_of(s.peak);
    conic_of(s.shape, s.conic);
  }
  const Sweep sweep{course_.reel.eyes, film_.seen(), channels_, film_.footage().canvas, error().data()};
  const float spread = course_.spread;
  Array<Seed> there(*seeds);
  Seed* seed = there.data();
  device_.for_teams<Sweep::Notes>(static_cast<int64_t>(seeds->size()),
                                  [=] SPLAT2D_LOOP(const Team& team, int64_t i, Sweep::Notes* notes) {
                                    sweep.settle(team, seed + i, reach, spread, notes);
                                  });
  *seeds = there.host();
}

Fit::SeedResult ViewsFitter::plant(const SeedOptions& options) {
  const int C = channels_;
  const Distortion* middle = film_.distortion(film_.seen() / 2);
  const Canvas canvas = film_.footage().canvas;
  const std::vector<float> planes(options.disparities.begin(), options.disparities.end());
  const std::vector<Candidate> all = find_peaks(
      device_, canvas, static_cast<int>(planes.size()), C, [&](int i, float* to) { gather_at(planes[i], to); }, options,
      middle, &seed_densities_);
  const std::vector<Candidate> best = suppress(all, canvas, static_cast<float>(options.separation));
  std::vector<Seed> seeds;
  double promised = 0;
  for (const Candidate& peak : best) {
    if (enough_seeds(seeds.size(), promised, options.energy * distortion_)) break;
    seeds.push_back({peak, planes[peak.picture], peak.saved, {}, {}});
    promised += peak.saved;
  }
  const float reach = planes.size() > 1 ? static_cast<float>(options.disparities[1] - options.disparities[0]) : 1.0f;
  settle(&seeds, reach);

  std::vector<float> means, frames, ks;
  for (const Seed& s : seeds) {
    const auto [s1, s2, angle] = s.shape;
    const float c = std::cos(angle), n = std::sin(angle);
    means.insert(means.end(), {s.peak.x, s.peak.y, s.disparity});
    frames.insert(frames.end(), {c * s1, -n * s2, n * s1, c * s2});
    add_amplitudes(course_.basis, C, s.peak, options, &ks);
  }
  add(means, frames, ks);
  return {static_cast<int>(best.size()), static_cast<int>(seeds.size())};
}

}  // namespace splat2d
