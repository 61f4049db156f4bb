#include "clip_fitter.hpp"

#include <algorithm>
#include <cmath>

#include "moving_quantizer.hpp"

namespace splat2d {

namespace {

constexpr double kLeastPruneBits = 10;  // that a splat counts for when it may go

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
  device_.for_each(count(), [&](int64_t i) {
    MovingShape& s = shapes_[i];
    s = fit::moving_shape(model_, state_.means.data() + 3 * i, state_.frames.data() + 9 * i);
    fit::moving_look(model_, s, state_.k.data() + C * i, conics_.data() + 3 * i, colors_.data() + C * i);
    std::copy_n(s.velocity, 2, velocities_.data() + 2 * i);
    precisions_.data()[i] = 1 / s.variance;
  });
}

double ClipFitter::evaluate() {
  update_geometry();
  const size_t size = footage_.canvas.area() * channels_;
  Slices slices;
  double squares = 0;
  for (int t = 0; t < footage_.frames(); ++t) {
    slice(splats(), static_cast<float>(t) + 0.5f, footage_.shifts[t], static_cast<float>(options_.cutoff),
          footage_.gains[t], &slices);
    squares += device_.render(slices.splats(channels_), footage_.canvas, 0, negative_target_.data() + t * size,
                              residual_.data() + t * size);
  }
  sse_ = saturation_.clip(device_, squares, &residual_);
  bits_ = device_.sum(count(), [&](int64_t i) {
    return static_cast<double>(
        fit::moving_bits(model_, shapes_[i], state_.means.data() + 3 * i, state_.k.data() + channels_ * i));
  });
  return 0.5 * (sse_ + options_.lambda * bits_);
}

void ClipFitter::gradient(Array<float>* out) {
  const size_t n = count(), C = channels_, P = parameters(), size = footage_.canvas.area() * C;
  out->resize(P * n);
  units_.resize(n);
  v_colors_.assign(C * n, 0.0f);
  std::vector<MovingGradient> g(n);
  std::vector<float> cross(n, 0.0f), v_slice_conics(3 * n, 0.0f);
  std::vector<float> v_means, v_conics, v_colors;
  Slices slices;
  for (int t = 0; t < footage_.frames(); ++t) {
    slice(splats(), static_cast<float>(t) + 0.5f, footage_.shifts[t], static_cast<float>(options_.cutoff),
          footage_.gains[t], &slices);
    const size_t m = slices.index.size();
    v_means.resize(2 * m);
    v_conics.resize(3 * m);
    v_colors.resize(C * m);
    device_.backward(slices.splats(channels_), footage_.canvas, 0, residual_.data() + t * size, v_means.data(),
                     v_conics.data(), v_colors.data());
    for (size_t j = 0; j < m; ++j) {
      const size_t i = slices.index[j];
      const float apart = slices.apart[j], precision = precisions_.data()[i];
      float along = 0;  // gradient by the logarithm of the slice's height
      for (size_t c = 0; c < C; ++c) {
        const float v = v_colors[C * j + c] * slices.fade[j];
        v_colors_[C * i + c] += v;
        along += v * colors_.data()[C * i + c];
      }
      cross[i] += along;
      MovingGradient& to = g[i];
      to.time += along * apart * precision;
      to.variance += 0.5f * along * apart * apart * precision * precision;
      for (int a = 0; a < 2; ++a) {
        const float v = v_means[2 * j + a];
        to.mean[a] += v;
        to.velocity[a] += apart * v;
        to.time -= velocities_.data()[2 * i + a] * v;
      }
      for (int a = 0; a < 3; ++a) v_slice_conics[3 * i + a] += v_conics[3 * j + a];
    }
  }
  device_.for_each(count(), [&](int64_t i) {
    const float *k = state_.k.data() + C * i, *l = state_.frames.data() + 9 * i, *mean = state_.means.data() + 3 * i;
    const MovingShape& s = shapes_[i];
    float* v = out->data() + P * i;
    units_[i] = fit::moving_units(model_, k);
    for (size_t j = 0; j < C; ++j) {
      v[j] = 0;
      for (size_t c = 0; c < C; ++c) v[j] += model_.plane.basis[C * j + c] * v_colors_[C * i + c];
      v[j] /= s.norm;
    }
    fit::add_conic_gradient(conics_.data() + 3 * i, &v_slice_conics[3 * i], &g[i]);
    fit::add_norm_gradient(s, cross[i], &g[i]);
    fit::add_moving_rate(model_, s, mean, k, v, &g[i]);
    fit::to_natural(s, units_[i], l, g[i], v + C);
  });
}

std::vector<float> ClipFitter::natural_gradient() {
  Array<float> out;
  evaluate();
  gradient(&out);
  return out.host();
}

void ClipFitter::limit(Array<float>* direction) const {
  const size_t C = channels_, P = parameters();
  device_.for_each(count(), [&](int64_t i) {
    const float limit = fit::trust(units_[i]);
    float* d = direction->data() + P * i;
    for (size_t j = C; j < P; ++j) d[j] = clamp(d[j], -limit, limit);
  });
}

void ClipFitter::move(const Array<float>& direction, float t, const FitState& from) {
  const size_t C = channels_, P = parameters();
  device_.for_each(count(), [&](int64_t i) {
    fit::move_moving(model_, units_[i], direction.data() + P * i, t, from.means.data() + 3 * i,
                     from.frames.data() + 9 * i, from.k.data() + C * i, state_.means.data() + 3 * i,
                     state_.frames.data() + 9 * i, state_.k.data() + C * i);
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
