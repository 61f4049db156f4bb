#include "fit/fitter.hpp"

#include <algorithm>
#include <cmath>

namespace splat2d {

namespace {

// Amplitude in D that stands for all splats without natural units; the best of 1, 2, 4 ... 64.
constexpr double kPlainAmplitude = 16.0;
constexpr double kLeastPruneBits = 8;  // that a splat counts for when it may go

std::vector<float> negative_target(const float* image, const float* background, int channels, size_t plane) {
  std::vector<float> out(plane * channels);
  for (int c = 0; c < channels; ++c)
    for (size_t i = 0; i < plane; ++i) out[c * plane + i] = background[c] - image[c * plane + i];
  return out;
}

}  // namespace

Fitter::Fitter(const float* image, int channels, Canvas canvas, const float* background, FitOptions options,
               std::shared_ptr<const Distortion> distortion)
    : Descent(Device(options.threads), 2, channels, options.memory),
      canvas_(canvas),
      options_(options),
      negative_target_(negative_target(image, background, channels, canvas.area())),
      saturation_(image, canvas.area() * channels),
      residual_(canvas.area() * channels),
      distortion_(std::move(distortion)) {
  model_.channels = channels;
  model_.canvas = canvas;
  std::copy_n(color_basis(channels), channels * channels, model_.basis);
  model_.least_energy = static_cast<float>(options.amplitude_floor * options.amplitude_floor);
  model_.natural_units = options.natural_units;
  if (distortion_) error_.resize(residual_.size());
  set_rate(options.step, options.lambda);
  refresh();
}

void Fitter::set_rate(double step, double lambda) {
  options_.step = step;
  options_.lambda = lambda;
  std::fill_n(model_.steps, kMaxChannels, static_cast<float>(step));
  if (channels_ >= 3) model_.steps[1] = model_.steps[2] = static_cast<float>(step * options_.chroma_step);
  model_.lambda = static_cast<float>(lambda);
  model_.plain_amplitude = static_cast<float>(kPlainAmplitude * step);
}

void Fitter::splats(float* means, float* conics, float* colors) const {
  const auto copy = [](const Array<float>& from, float* to) {
    const std::vector<float> values = from.host();
    std::copy(values.begin(), values.end(), to);
  };
  copy(state_.means, means);
  copy(conics_, conics);
  copy(colors_, colors);
}

void Fitter::evaluate() {
  const size_t n = count();
  conics_.resize(3 * n);
  colors_.resize(channels_ * n);
  norms_.resize(n);
  const int C = channels_;
  const FitModel model = model_;
  const float *frames = state_.frames.data(), *k = state_.k.data();
  float *conics = conics_.data(), *colors = colors_.data(), *norms = norms_.data();
  const auto geometry_and_bits = [=] SPLAT2D_LOOP(int64_t i) {
    fit::geometry(model, frames + 4 * i, k + C * i, conics + 3 * i, colors + C * i, norms + i);
    return static_cast<double>(fit::bits(model, frames + 4 * i, k + C * i));
  };
  device_.sum(count(), geometry_and_bits, numbers_.at(kBits));
  const Splats s{count(), channels_, state_.means.data(), conics, colors};
  device_.render(s, canvas_, static_cast<float>(options_.cutoff), negative_target_.data(), saturation_.headroom(),
                 residual_.data(), numbers_.at(kSse));
  if (!distortion_) return;
  distortion_->evaluate(device_, residual_, channels_, &error_, numbers_.at(kWeighed));
  saturation_.clip_gradient(device_, residual_, &error_);
}

double Fitter::value() {
  sse_ = numbers_[kSse];
  weighed_ = distortion_ ? numbers_[kWeighed] : sse_;
  bits_ = numbers_[kBits];
  return 0.5 * (weighed_ + (options_.rate_term ? options_.lambda * bits_ : 0.0));
}

void Fitter::gradient(Array<float>* out) {
  const int n = count(), C = channels_, P = parameters();
  const size_t rows = n;
  out->resize(P * rows);
  v_means_.resize(2 * rows);
  v_conics_.resize(3 * rows);
  v_colors_.resize(C * rows);
  const Splats s{n, C, state_.means.data(), conics_.data(), colors_.data()};
  device_.backward(s, canvas_, static_cast<float>(options_.cutoff), error().data(), v_means_.data(), v_conics_.data(),
                   v_colors_.data());
  const FitModel model = model_;
  const Density density = density_of(distortion_.get());
  const bool rate_term = options_.rate_term;
  const float *means = state_.means.data(), *frames = state_.frames.data(), *k = state_.k.data();
  const float *colors = colors_.data(), *norms = norms_.data();
  const float *v_means = v_means_.data(), *v_conics = v_conics_.data(), *v_colors = v_colors_.data();
  float* to = out->data();
  device_.for_each(n, [=] SPLAT2D_LOOP(int64_t i) {
    const float *mean = means + 2 * i, *l = frames + 4 * i;
    float* v = to + P * i;
    const Units units = fit::units_of(model, k + C * i, density.at(mean, l));
    fit::natural_gradient(model, units, l, colors + C * i, norms[i], v_means + 2 * i, v_conics + 3 * i,
                          v_colors + C * i, v);
    if (rate_term) fit::add_rate_gradient(model, units, l, k + C * i, v);
    fit::hold(model, mean, l, -1.0f, v);
  });
}

void Fitter::move(const Array<float>& direction, float t, const FitState& from) {
  const int C = channels_, P = parameters();
  const FitModel model = model_;
  const Density density = density_of(distortion_.get());
  const float *z = direction.data(), *from_means = from.means.data(), *from_frames = from.frames.data(),
              *from_k = from.k.data();
  float *means = state_.means.data(), *frames = state_.frames.data(), *k = state_.k.data();
  device_.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) {
    const float *mean = from_means + 2 * i, *l = from_frames + 4 * i, *amplitudes = from_k + C * i;
    fit::move(model, fit::units_of(model, amplitudes, density.at(mean, l)), z + P * i, t, mean, l, amplitudes,
              means + 2 * i, frames + 4 * i, k + C * i);
  });
}

void Fitter::limit(const FitState& at, Array<float>* direction) const {
  const int C = channels_, P = parameters();
  const FitModel model = model_;
  const Density density = density_of(distortion_.get());
  const float *means = at.means.data(), *frames = at.frames.data(), *k = at.k.data();
  float* d = direction->data();
  device_.for_each(count(), [=] SPLAT2D_LOOP(int64_t i) {
    const float *mean = means + 2 * i, *l = frames + 4 * i;
    const float limit = fit::trust(fit::units_of(model, k + C * i, density.at(mean, l)));
    for (int j = C; j < P; ++j) d[P * i + j] = clamp(d[P * i + j], -limit, limit);
    fit::hold(model, mean, l, 1.0f, d + P * i);
  });
}

int Fitter::prune(double factor) {
  const int n = count(), C = channels_;
  const FitModel model = model_;
  const Density density = density_of(distortion_.get());
  const double price = factor * options_.lambda, constant = constant_bits();
  const float *means = state_.means.data(), *frames = state_.frames.data(), *k = state_.k.data();
  const float *colors = colors_.data(), *v_colors = v_colors_.data();
  Array<uint8_t> pays(n);
  uint8_t* to = pays.data();
  device_.for_each(n, [=] SPLAT2D_LOOP(int64_t i) {
    double energy = 0, cross = 0;
    for (int64_t j = C * i; j < C * (i + 1); ++j) {
      energy += k[j] * k[j];
      cross += colors[j] * v_colors[j];
    }
    const double bits = constant + fit::bits(model, frames + 4 * i, k + C * i);
    // Distortion without the splat minus distortion with it
    const double saved = density.at(means + 2 * i, frames + 4 * i) * energy - 2 * cross;
    to[i] = saved > price * (bits > kLeastPruneBits ? bits : kLeastPruneBits);
  });
  return keep(pays.host());
}

void Fitter::resample_from(const Fitter& other, double factor) {
  const float f = static_cast<float>(factor);
  state_ = {other.state_.means.copy(), other.state_.frames.copy(), other.state_.k.copy()};
  for (auto* array : {&state_.means, &state_.frames, &state_.k}) {
    float* v = array->data();
    device_.for_each(static_cast<int64_t>(array->size()), [=] SPLAT2D_LOOP(int64_t i) { v[i] *= f; });
  }
  memory_.clear();
  refresh();
}

std::vector<int32_t> Fitter::quantize() const {
  const int n = count(), C = channels_, width = C + kShapeParameters;
  const std::vector<float> means = state_.means.host(), frames = state_.frames.host(), amplitudes = state_.k.host();
  const ColorSteps steps = color_steps(C, static_cast<int>(std::lround(8 * options_.chroma_step)));
  std::vector<int32_t> out(static_cast<size_t>(width) * n, 0);
  for (int i = 0; i < n; ++i) {
    int32_t* q = &out[static_cast<size_t>(width) * i];
    if (!quantize_colors(&amplitudes[static_cast<size_t>(C) * i], model_.steps, C, q)) continue;
    const fit::Eigen e = fit::eigen(&frames[4 * static_cast<size_t>(i)]);
    quantize_shape(energy_class(q, steps), std::log(e.s1), std::log(e.s2), e.angle, q + C);
    quantize_position(energy_class(q, steps), canvas_, means[2 * static_cast<size_t>(i)],
                      means[2 * static_cast<size_t>(i) + 1], q + C);
  }
  return out;
}

}  // namespace splat2d
