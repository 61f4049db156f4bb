#include "fit/clip_fitter.hpp"

#include <algorithm>
#include <utility>

namespace splat2d {

namespace {

// That the gradient's sum over the frames is made of, so that it has one order whatever the number of threads.
constexpr int kParts = Device::kFrames > 1 ? 1 : 8;
constexpr float kLeastDeviation = 2.0f;  // px of the pyramid's level that a splat is drawn on

int batches_of(int frames) { return (frames + Device::kFrames - 1) / Device::kFrames; }

// Of the frames [first, end).
ClipFitter::Batch batch_of(int64_t i, int first, int end) {
  first += static_cast<int>(i) * Device::kFrames;
  return {first, std::min(end - first, Device::kFrames)};
}

// The highest level on which a splat is smooth.
SPLAT2D_HD int level_of(const MovingShape& s, int most) {
  const float least_squared = s.det * s.det / fit::largest_variance(s.cov);
  int level = 0;
  for (float limit = 4 * kLeastDeviation * kLeastDeviation; level < most && least_squared >= limit; limit *= 4) ++level;
  return level;
}

}  // namespace

ClipFitter::ClipFitter(const float* frames, int channels, Footage footage, const float* background, FitOptions options,
                       Film::Distortions distortions)
    : FitOf(frames, channels, std::move(footage), background, options, std::move(distortions)) {
  refresh();
}

MovingSplats ClipFitter::splats() const {
  return {count(),        channels_,          state_.means.data(), velocities_.data(),
          conics_.data(), precisions_.data(), colors_.data()};
}

void ClipFitter::spread_shapes() {
  const size_t n = count();
  velocities_.resize(2 * n);
  precisions_.resize(n);
  levels_.resize(n);
  const int most = Pyramid::levels_of(film_.footage().canvas);
  const MovingShape* shapes = shapes_.data();
  float *velocities = velocities_.data(), *precisions = precisions_.data();
  uint8_t* levels = levels_.data();
  device_.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) {
    for (int a = 0; a < 2; ++a) velocities[2 * i + a] = shapes[i].velocity[a];
    precisions[i] = 1 / shapes[i].variance;
    levels[i] = static_cast<uint8_t>(level_of(shapes[i], most));
  });
  const std::vector<uint8_t> all = levels_.host();
  level_count_ = 1 + (n ? *std::max_element(all.begin(), all.end()) : 0);
}

void ClipFitter::draw() {
  spread_shapes();
  const int seen = film_.seen();
  device_.for_devices<Workspace>(batches_of(seen), [&](const Device& device, int64_t i, Workspace* workspace) {
    const Batch batch = batch_of(i, 0, seen);
    draw(device, batch, workspace);
    for (int t = batch.first; t < batch.first + batch.frames; ++t) Fit::weigh(device, t);
  });
}

void ClipFitter::draw(const Device& device, Batch batch, Workspace* workspace) {
  if (!workspace->pyramid) workspace->pyramid.emplace(film_.footage().canvas, Device::kFrames * channels_);
  Pyramid& pyramid = *workspace->pyramid;
  const int first = batch.first, frames = batch.frames;
  const int planes = frames * channels_;
  float* residual = residual_.data() + first * film_.size();
  const float* base = film_.base(first);
  for (int level = level_count_ - 1; level >= 0; --level) {
    workspace->slices.take(device, splats(), course_.reel, first, frames, Pyramid::place(level),
                           {levels_.data(), level});
    const Splats s = workspace->slices.splats();
    const bool coarsest = level == level_count_ - 1;
    if (level == 0) {
      device.render(s, film_.footage().canvas, 0, coarsest ? base : residual, film_.headroom(first), residual,
                    squares_.data() + first);
      return;
    }
    float* picture = pyramid.picture(level);
    device.render(s, pyramid.canvas(level), 0, coarsest ? nullptr : picture, {}, picture, nullptr);
    if (level == 1)
      pyramid.enlarge(device, planes, level, base, residual);
    else
      pyramid.enlarge(device, planes, level, nullptr, pyramid.picture(level - 1));
  }
}

void ClipFitter::add_gradients(const Device& device, Batch batch, int part, Workspace* workspace) {
  if (!workspace->pyramid) workspace->pyramid.emplace(film_.footage().canvas, Device::kFrames * channels_);
  Pyramid& pyramid = *workspace->pyramid;
  const int first = batch.first, frames = batch.frames;
  const int C = channels_;
  const size_t n = count();
  const float weight = static_cast<float>(film_.footage().every);
  const float* picture = error(first);
  const MovingSplats s = splats();
  const Reel reel = course_.reel;
  MovingGradient* sums = sums_.data() + n * part;
  float *colors = v_parts_.data() + C * n * part, *alongs = alongs_.data() + n * part;
  for (int level = 0; level < level_count_; ++level) {
    if (level > 0) {
      pyramid.shrink(device, frames * C, picture, level);
      picture = pyramid.picture(level);
    }
    const Place place = Pyramid::place(level);
    workspace->slices.take(device, s, reel, first, frames, place, {levels_.data(), level});
    const int count = workspace->slices.count();
    const size_t rows = static_cast<size_t>(count) * frames;
    workspace->v_means.resize(2 * rows);
    workspace->v_conics.resize(3 * rows);
    workspace->v_colors.resize(C * rows);
    device.backward(workspace->slices.splats(), pyramid.canvas(level), 0, picture, workspace->v_means.data(),
                    workspace->v_conics.data(), workspace->v_colors.data());
    const int* index = workspace->slices.index();
    const uint8_t* levels = levels_.data();
    const float *apart = workspace->slices.apart(), *fade = workspace->slices.fade();
    const float *v_means = workspace->v_means.data(), *v_conics = workspace->v_conics.data(),
                *v_colors = workspace->v_colors.data();
    device.for_each(count, [=] SPLAT2D_LOOP(int64_t x) {
      const int64_t i = index ? index[x] : x;
      if (levels[i] != level) return;
      for (int f = 0; f < frames; ++f) {
        const int64_t j = static_cast<int64_t>(f) * count + x;
        float along = 0;  // gradient by the logarithm of the slice's height
        for (int c = 0; c < C; ++c) {
          const float v = v_colors[C * j + c] * fade[j] * weight;
          colors[C * i + c] += v;
          along += v * s.colors[C * i + c];
        }
        alongs[i] += along;
        const Moment moment = reel.moment(first + f, place);
        Slice shown;
        shown.apart = apart[j];
        if (moment.warp) {
          float at[2];
          carry(s.means + 3 * i, s.velocities + 2 * i, shown.apart, at);
          moment.warp.carry(at, shown.slopes);
        }
        add_slice_gradient(moment, shown, s.velocities + 2 * i, s.precisions[i], v_means + 2 * j, v_conics + 3 * j,
                           along, weight, sums + i);
      }
    });
  }
}

void ClipFitter::gradient(Array<float>* out) {
  const int C = channels_, P = parameters(), seen = film_.seen(), parts = std::min(kParts, seen);
  const size_t n = count();
  out->resize(P * n);
  v_colors_.resize(C * n);
  sums_.resize(parts * n);
  v_parts_.resize(parts * C * n);
  alongs_.resize(parts * n);
  MovingGradient* sums = sums_.data();
  float *part_colors = v_parts_.data(), *alongs = alongs_.data();
  device_.for_devices<Workspace>(parts, [&](const Device& device, int64_t part, Workspace* workspace) {
    clear_sums(device, static_cast<int>(part));
    const int first = seen * static_cast<int>(part) / parts, end = seen * static_cast<int>(part + 1) / parts;
    for (int i = 0; i < batches_of(end - first); ++i)
      add_gradients(device, batch_of(i, first, end), static_cast<int>(part), workspace);
  });
  const InTime course = course_;
  const bool rate_term = options_.rate_term;
  const MovingShape* shapes = shapes_.data();
  const float *means = state_.means.data(), *frames = state_.frames.data(), *k = state_.k.data();
  const float *conics = conics_.data(), *density = density_.data();
  float *v_colors = v_colors_.data(), *to = out->data();
  const int64_t rows = count();
  device_.for_each(rows, [=] SPLAT2D_LOOP(int64_t i) {
    const MovingShape& s = shapes[i];
    const float *mean = means + 3 * i, *l = frames + 9 * i;
    MovingGradient g = sums[i];
    float along = alongs[i];
    for (int c = 0; c < C; ++c) v_colors[C * i + c] = part_colors[C * i + c];
    for (int64_t part = 1; part < parts; ++part) {
      const int64_t j = rows * part + i;
      g += sums[j];
      for (int c = 0; c < C; ++c) v_colors[C * i + c] += part_colors[C * j + c];
      along += alongs[j];
    }
    float* v = to + P * i;
    const Units units = fit::units_of(course, k + C * i, density[i]);
    for (int j = 0; j < C; ++j) {
      v[j] = 0;
      for (int c = 0; c < C; ++c) v[j] += course.basis[C * j + c] * v_colors[C * i + c];
      v[j] = v[j] / s.norm * units.k;
    }
    fit::add_conic_gradient(conics + 3 * i, &g);
    fit::add_norm_gradient(s, along, &g);
    if (rate_term) fit::add_moving_rate(course, units, s, mean, k + C * i, v, &g);
    fit::to_natural(s, units, l, g, v + C);
  });
}

void ClipFitter::clear_sums(const Device& device, int part) {
  const int C = channels_;
  const size_t n = count();
  MovingGradient* sums = sums_.data() + n * part;
  float *colors = v_parts_.data() + C * n * part, *alongs = alongs_.data() + n * part;
  device.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) {
    sums[i] = MovingGradient();
    alongs[i] = 0;
    for (int c = 0; c < C; ++c) colors[C * i + c] = 0;
  });
}

}  // namespace splat2d
