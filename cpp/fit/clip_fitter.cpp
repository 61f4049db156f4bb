#include "fit/clip_fitter.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "format/course.hpp"

namespace splat2d {

namespace {

constexpr double kLeastPruneBits = 10;   // that a splat counts for when it may go
constexpr int kParts = 8;                // that the gradient's sum over the frames is made of
constexpr float kLeastDeviation = 2.0f;  // px of the pyramid's level that a splat is drawn on

// The highest level on which a splat is smooth.
int level_of(const MovingShape& s, int most) {
  const float least_squared = s.det * s.det / fit::largest_variance(s.cov);
  int level = 0;
  for (float limit = 4 * kLeastDeviation * kLeastDeviation; level < most && least_squared >= limit; limit *= 4) ++level;
  return level;
}

std::vector<float> negative_target(const float* frames, const float* background, int channels, size_t plane,
                                   const std::vector<float>& gains) {
  const size_t count = gains.size();
  std::vector<float> out(count * channels * plane);
  for (size_t t = 0; t < count; ++t)
    for (int c = 0; c < channels; ++c) {
      const size_t at = (t * channels + c) * plane;
      for (size_t i = 0; i < plane; ++i) out[at + i] = gains[t] * (background[c] - frames[at + i]);
    }
  return out;
}

}  // namespace

ClipFitter::ClipFitter(const float* frames, int channels, Footage footage, const float* background, FitOptions options)
    : Descent(Device(options.threads), 3, channels, options.memory),
      footage_(std::move(footage)),
      options_(options),
      negative_target_(negative_target(frames, background, channels, footage_.canvas.area(), footage_.gains)),
      saturation_(frames, footage_.canvas.area() * channels * footage_.shifts.size()),
      residual_(negative_target_.size()) {
  model_.frames = footage_.frames();
  model_.plane.channels = channels;
  model_.plane.canvas = footage_.world;
  std::copy_n(color_basis(channels), channels * channels, model_.plane.basis);
  model_.plane.least_energy = static_cast<float>(options.amplitude_floor * options.amplitude_floor);
  model_.plane.natural_units = true;
  set_rate(options.step, options.lambda);
  refresh();
}

void ClipFitter::set_rate(double step, double lambda) {
  options_.step = step;
  options_.lambda = lambda;
  FitModel& plane = model_.plane;
  std::fill_n(plane.steps, kMaxChannels, static_cast<float>(step));
  if (channels_ >= 3) plane.steps[1] = plane.steps[2] = static_cast<float>(step * options_.chroma_step);
  plane.lambda = static_cast<float>(lambda);
  plane.plain_amplitude = 0;
}

MovingSplats ClipFitter::splats() const {
  return {count(),        channels_,          state_.means.data(), velocities_.data(),
          conics_.data(), precisions_.data(), colors_.data()};
}

void ClipFitter::update_geometry() {
  const size_t n = count(), C = channels_;
  shapes_.resize(n);
  velocities_.resize(2 * n);
  conics_.resize(3 * n);
  precisions_.resize(n);
  colors_.resize(C * n);
  levels_.resize(n);
  const int most = Pyramid::levels_of(footage_.canvas);
  device_.for_each(count(), [&](int64_t i) {
    MovingShape& s = shapes_[i];
    s = fit::moving_shape(model_, state_.means.data() + 3 * i, state_.frames.data() + 9 * i);
    fit::moving_look(model_, s, state_.k.data() + C * i, conics_.data() + 3 * i, colors_.data() + C * i);
    std::copy_n(s.velocity, 2, velocities_.data() + 2 * i);
    precisions_.data()[i] = 1 / s.variance;
    levels_[i] = static_cast<uint8_t>(level_of(s, most));
  });
  level_count_ = 1 + (n ? *std::max_element(levels_.begin(), levels_.end()) : 0);
}

void ClipFitter::slice_of(int t, int level, Slices* out) const {
  const Level to{levels_.data(), level, Pyramid::scale(level), Pyramid::offset(level)};
  slice(splats(), static_cast<float>(t) + 0.5f, footage_.shifts[t], static_cast<float>(options_.cutoff),
        footage_.gains[t], out, &to);
}

// What a thread needs to work on a frame.
struct ClipFitter::Workspace {
  Pyramid pyramid;
  Slices slices;
  std::vector<float> v_means, v_conics, v_colors;
};

// Gradients by the splats' physical numbers.
struct ClipFitter::Gradients {
  std::vector<MovingGradient> shapes;
  std::vector<float> conics;  // [N, 3] of slices
  std::vector<float> colors;  // [N, C]
  std::vector<float> along;   // <colours, their gradient>

  void clear(size_t count, size_t channels) {
    shapes.assign(count, {});
    conics.assign(3 * count, 0.0f);
    colors.assign(channels * count, 0.0f);
    along.assign(count, 0.0f);
  }
};

template <class F>
void ClipFitter::each_frame(int count, F f) {
  device_.for_teams<std::optional<Workspace>>(count, [&](const Team&, int64_t i, std::optional<Workspace>* workspace) {
    if (!*workspace) workspace->emplace(Workspace{Pyramid(footage_.canvas, channels_)});  // Clang before 16 wants a name
    f(static_cast<int>(i), &**workspace);
  });
}

double ClipFitter::draw(int t, Workspace* w) {
  const Device alone(1);
  const size_t size = footage_.canvas.area() * channels_;
  const float* target = negative_target_.data() + t * size;
  float* residual = residual_.data() + t * size;
  const float* base = nullptr;
  for (int level = level_count_ - 1; level > 0; --level) {
    slice_of(t, level, &w->slices);
    double unused;
    alone.render(w->slices.splats(channels_), w->pyramid.canvas(level), 0, base, {}, w->pyramid.picture(level),
                 &unused);
    float* below = level > 1 ? w->pyramid.picture(level - 1) : residual;
    w->pyramid.enlarge(level, level > 1 ? nullptr : target, below);
    base = below;
  }
  slice_of(t, 0, &w->slices);
  double squares = 0;
  alone.render(w->slices.splats(channels_), footage_.canvas, 0, base ? base : target, saturation_.headroom(t * size),
               residual, &squares);
  return squares;
}

void ClipFitter::evaluate() {
  update_geometry();
  std::vector<double> squares(seen_frames());
  each_frame(seen_frames(), [&](int i, Workspace* workspace) { squares[i] = draw(i * every_, workspace); });
  sse_ = 0;
  for (const double s : squares) sse_ += every_ * s;
  const auto bits = [&](int64_t i) {
    return static_cast<double>(
        fit::moving_bits(model_, shapes_[i], state_.means.data() + 3 * i, state_.k.data() + channels_ * i));
  };
  device_.sum(count(), bits, &bits_);
}

double ClipFitter::value() { return 0.5 * (sse_ + options_.lambda * bits_); }

void ClipFitter::add_gradients(int t, Workspace* w, Gradients* to) const {
  const Device alone(1);
  const size_t C = channels_;
  const float* residual = residual_.data() + t * footage_.canvas.area() * C;
  const float weight = static_cast<float>(every_);
  for (int level = 0; level < level_count_; ++level) {
    if (level > 0) {
      w->pyramid.shrink(residual, level);
      residual = w->pyramid.picture(level);
    }
    slice_of(t, level, &w->slices);
    const size_t m = w->slices.index.size();
    w->v_means.resize(2 * m);
    w->v_conics.resize(3 * m);
    w->v_colors.resize(C * m);
    alone.backward(w->slices.splats(channels_), w->pyramid.canvas(level), 0, residual, w->v_means.data(),
                   w->v_conics.data(), w->v_colors.data());
    const float by_mean = weight * Pyramid::scale(level),
                by_conic = weight / (Pyramid::scale(level) * Pyramid::scale(level));
    for (size_t j = 0; j < m; ++j) {
      const size_t i = w->slices.index[j];
      const float apart = w->slices.apart[j], precision = precisions_.data()[i];
      float along = 0;  // gradient by the logarithm of the slice's height
      for (size_t c = 0; c < C; ++c) {
        const float v = w->v_colors[C * j + c] * w->slices.fade[j] * weight;
        to->colors[C * i + c] += v;
        along += v * colors_.data()[C * i + c];
      }
      to->along[i] += along;
      MovingGradient& g = to->shapes[i];
      g.time += along * apart * precision;
      g.variance += 0.5f * along * apart * apart * precision * precision;
      for (int a = 0; a < 2; ++a) {
        const float v = w->v_means[2 * j + a] * by_mean;
        g.mean[a] += v;
        g.velocity[a] += apart * v;
        g.time -= velocities_.data()[2 * i + a] * v;
      }
      for (int a = 0; a < 3; ++a) to->conics[3 * i + a] += w->v_conics[3 * j + a] * by_conic;
    }
  }
}

void ClipFitter::gradient(Array<float>* out) {
  const size_t n = count(), C = channels_, P = parameters();
  out->resize(P * n);
  // Sums have one order whatever the number of threads.
  const int seen = seen_frames(), parts = std::min(kParts, seen);
  std::vector<Gradients> sums(parts);
  each_frame(parts, [&](int part, Workspace* workspace) {
    sums[part].clear(n, C);
    for (int i = seen * part / parts; i < seen * (part + 1) / parts; ++i)
      add_gradients(i * every_, workspace, &sums[part]);
  });
  v_colors_ = std::move(sums[0].colors);
  device_.for_each(count(), [&](int64_t i) {
    const float *k = state_.k.data() + C * i, *l = state_.frames.data() + 9 * i, *mean = state_.means.data() + 3 * i;
    const MovingShape& s = shapes_[i];
    MovingGradient g = sums[0].shapes[i];
    float *v_conic = &sums[0].conics[3 * i], along = sums[0].along[i];
    for (int part = 1; part < parts; ++part) {
      g += sums[part].shapes[i];
      for (size_t c = 0; c < C; ++c) v_colors_[C * i + c] += sums[part].colors[C * i + c];
      for (int a = 0; a < 3; ++a) v_conic[a] += sums[part].conics[3 * i + a];
      along += sums[part].along[i];
    }
    float* to = out->data() + P * i;
    for (size_t j = 0; j < C; ++j) {
      to[j] = 0;
      for (size_t c = 0; c < C; ++c) to[j] += model_.plane.basis[C * j + c] * v_colors_[C * i + c];
      to[j] /= s.norm;
    }
    fit::add_conic_gradient(conics_.data() + 3 * i, v_conic, &g);
    fit::add_norm_gradient(s, along, &g);
    fit::add_moving_rate(model_, s, mean, k, to, &g);
    fit::to_natural(s, fit::moving_units(model_, k), l, g, to + C);
  });
}

std::vector<float> ClipFitter::natural_gradient() {
  Array<float> out;
  evaluate();
  gradient(&out);
  return out.host();
}

void ClipFitter::limit(const FitState& at, Array<float>* direction) const {
  const size_t C = channels_, P = parameters();
  device_.for_each(count(), [&](int64_t i) {
    const float limit = fit::trust(fit::moving_units(model_, at.k.data() + C * i));
    float* d = direction->data() + P * i;
    for (size_t j = C; j < P; ++j) d[j] = clamp(d[j], -limit, limit);
  });
}

void ClipFitter::move(const Array<float>& direction, float t, const FitState& from) {
  const size_t C = channels_, P = parameters();
  device_.for_each(count(), [&](int64_t i) {
    const float* k = from.k.data() + C * i;
    fit::move_moving(model_, fit::moving_units(model_, k), direction.data() + P * i, t, from.means.data() + 3 * i,
                     from.frames.data() + 9 * i, k, state_.means.data() + 3 * i, state_.frames.data() + 9 * i,
                     state_.k.data() + C * i);
  });
}

int ClipFitter::prune(double factor) {
  const size_t n = count(), C = channels_;
  std::vector<uint8_t> pays(n);
  for (size_t i = 0; i < n; ++i) {
    const float* k = state_.k.data() + C * i;
    double energy = 0, cross = 0;
    for (size_t c = 0; c < C; ++c) {
      energy += k[c] * k[c];
      cross += colors_.data()[C * i + c] * v_colors_[C * i + c];
    }
    const double bits = constant_bits() + fit::moving_bits(model_, shapes_[i], state_.means.data() + 3 * i, k);
    // Distortion without the splat minus distortion with it
    pays[i] = energy - 2 * cross > factor * options_.lambda * std::max(bits, kLeastPruneBits);
  }
  return keep(pays);
}

std::vector<int32_t> ClipFitter::quantize() const {
  const int n = count(), C = channels_, width = C + kMovingFields, T = footage_.frames();
  const ColorSteps steps = color_steps(C, static_cast<int>(std::lround(8 * options_.chroma_step)));
  std::vector<int32_t> out(static_cast<size_t>(width) * n, 0);
  for (int64_t i = 0; i < n; ++i) {
    int32_t *q = &out[width * i], *f = q + C;
    if (!quantize_colors(state_.k.data() + C * i, model_.plane.steps, C, q)) continue;
    const int r = energy_class(q, steps);
    const MovingShape& s = shapes_[i];
    const float* mean = state_.means.data() + 3 * i;
    const double half = 0.5 * (s.cov[0] + s.cov[2]);
    const double long_squared = half + std::hypot(0.5 * (s.cov[0] - s.cov[2]), static_cast<double>(s.cov[1]));
    const double log_s1 = 0.5 * std::log(long_squared), log_s2 = std::log(static_cast<double>(s.det)) - log_s1;
    quantize_shape(r, log_s1, log_s2, 0.5 * std::atan2(2.0 * s.cov[1], static_cast<double>(s.cov[0]) - s.cov[2]), f);
    quantize_duration(r, 0.5 * std::log(static_cast<double>(s.variance)), T, f);
    quantize_time(r, mean[2], T, f);
    quantize_course(r, footage_.world, {mean[0], mean[1], mean[2], s.velocity[0], s.velocity[1]}, T, f);
  }
  return out;
}

void ClipFitter::look_at_every(int frames) {
  every_ = frames;
  memory_.clear();
  refresh();
}

void ClipFitter::enlarge(const ClipFitter& half) {
  state_ = half.state();
  const auto twice = [](Array<float>* values, size_t row, size_t first) {
    for (size_t i = 0; i < values->size(); ++i)
      if (i % row < first) values->data()[i] *= 2;
  };
  twice(&state_.means, 3, 2);
  twice(&state_.frames, 9, 6);
  twice(&state_.k, 1, 1);
  memory_.clear();
  refresh();
}

void ClipFitter::insert(const std::vector<float>& means, const std::vector<float>& frames,
                        const std::vector<float>& k) {
  add(means, frames, k);
  refresh();
}

}  // namespace splat2d
