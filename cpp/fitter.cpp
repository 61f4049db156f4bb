#include "fitter.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>

namespace splat2d {

namespace {

// Amplitude in D that stands for all splats without natural units; the best of 1, 2, 4 ... 64.
constexpr double kPlainAmplitude = 16.0;

// Loops over fewer splats than this are not worth a second thread.
constexpr int kSerial = 2048;

// A fixed partition of a sum, so that it does not depend on the number of threads.
constexpr int kSumChunk = 1 << 14;

double dot(const std::vector<float>& a, const std::vector<float>& b, int threads) {
  const int chunks = static_cast<int>((a.size() + kSumChunk - 1) / kSumChunk);
  std::vector<double> parts(chunks);
#pragma omp parallel for num_threads(threads) if (threads > 1 && chunks > 3)
  for (int i = 0; i < chunks; ++i) {
    const size_t begin = static_cast<size_t>(i) * kSumChunk;
    parts[i] = kernels().dot(a.data() + begin, b.data() + begin,
                             static_cast<int>(std::min<size_t>(kSumChunk, a.size() - begin)));
  }
  double total = 0;
  for (double p : parts) total += p;
  return total;
}

void add_scaled(std::vector<float>& a, const std::vector<float>& b, double factor, int threads) {
  const int chunks = static_cast<int>((a.size() + kSumChunk - 1) / kSumChunk);
#pragma omp parallel for num_threads(threads) if (threads > 1 && chunks > 3)
  for (int i = 0; i < chunks; ++i) {
    const size_t begin = static_cast<size_t>(i) * kSumChunk;
    kernels().add_scaled(a.data() + begin, b.data() + begin, static_cast<float>(factor),
                         static_cast<int>(std::min<size_t>(kSumChunk, a.size() - begin)));
  }
}

}  // namespace

Fitter::Fitter(const float* image, int channels, Canvas canvas, const float* background, FitOptions options,
               std::shared_ptr<const Distortion> distortion)
    : channels_(channels),
      canvas_(canvas),
      options_(options),
      background_(background, background + channels),
      saturation_(image, static_cast<size_t>(canvas.width) * canvas.height * channels),
      distortion_(std::move(distortion)) {
  model_.channels = channels;
  model_.canvas = canvas;
  std::copy_n(color_basis(channels), channels * channels, model_.basis);
  model_.least_energy = static_cast<float>(options.amplitude_floor * options.amplitude_floor);
  model_.natural_units = options.natural_units;
  const size_t plane = static_cast<size_t>(canvas.width) * canvas.height;
  negative_target_.resize(plane * channels);
  for (int c = 0; c < channels; ++c)
    for (size_t i = 0; i < plane; ++i) negative_target_[c * plane + i] = background_[c] - image[c * plane + i];
  residual_.resize(plane * channels);
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

void Fitter::update_geometry() {
  const int n = count(), C = channels_;
  conics_.resize(3 * static_cast<size_t>(n));
  colors_.resize(static_cast<size_t>(C) * n);
  norms_.resize(n);
#pragma omp parallel for num_threads(options_.threads) if (options_.threads > 1 && n > kSerial)
  for (int i = 0; i < n; ++i) {
    fit::geometry(model_, frame(i), amplitudes(i), &conics_[3 * static_cast<size_t>(i)],
                  &colors_[static_cast<size_t>(C) * i], &norms_[i]);
  }
}

void Fitter::splats(float* means, float* conics, float* colors) const {
  std::copy(means_.begin(), means_.end(), means);
  std::copy(conics_.begin(), conics_.end(), conics);
  std::copy(colors_.begin(), colors_.end(), colors);
}

double Fitter::evaluate() {
  update_geometry();
  const Splats s{count(), channels_, means_.data(), conics_.data(), colors_.data()};
  sse_ = render_forward(s, canvas_, static_cast<float>(options_.cutoff), negative_target_.data(), false,
                        residual_.data(), options_.threads);
  sse_ = saturation_.clip(sse_, &residual_, options_.threads);
  weighed_ = sse_;
  if (distortion_) {
    weighed_ = distortion_->evaluate(residual_.data(), channels_, options_.threads, error_.data());
    saturation_.clip_gradient(residual_, &error_);
  }
  bits_ = total_bits();
  return 0.5 * (weighed_ + (options_.rate_term ? options_.lambda * bits_ : 0.0));
}

double Fitter::total_bits() const {
  const int n = count();
  std::vector<double> bits((n + 1023) / 1024, 0.0);
#pragma omp parallel for num_threads(options_.threads) if (options_.threads > 1 && n > kSerial)
  for (int block = 0; block < static_cast<int>(bits.size()); ++block)
    for (int i = block * 1024; i < std::min(n, (block + 1) * 1024); ++i)
      bits[block] += fit::bits(model_, frame(i), amplitudes(i));
  double total = 0;
  for (double b : bits) total += b;
  return total;
}

float Fitter::density(int i) const {
  if (!distortion_) return 1;
  const float* l = &frames_[4 * static_cast<size_t>(i)];
  const float deviation = std::sqrt(std::fabs(l[0] * l[3] - l[1] * l[2]));
  return distortion_->density(means_[2 * static_cast<size_t>(i)], means_[2 * static_cast<size_t>(i) + 1], deviation);
}

void Fitter::update_metric() {
  const int n = count();
  units_.resize(n);
#pragma omp parallel for num_threads(options_.threads) if (options_.threads > 1 && n > kSerial)
  for (int i = 0; i < n; ++i) {
    units_[i] = fit::units_of(model_, amplitudes(i), density(i));
  }
}

// Natural-unit gradient of J / 2 at the state that was evaluated last.
void Fitter::gradient(std::vector<float>* out) {
  const int n = count(), C = channels_, P = parameters();
  update_metric();
  out->assign(static_cast<size_t>(P) * n, 0.0f);
  std::vector<float> v_means(2 * static_cast<size_t>(n)), v_conics(3 * static_cast<size_t>(n));
  v_colors_.resize(static_cast<size_t>(C) * n);
  const Splats s{n, C, means_.data(), conics_.data(), colors_.data()};
  render_backward(s, canvas_, static_cast<float>(options_.cutoff), error().data(), v_means.data(), v_conics.data(),
                  v_colors_.data(), options_.threads);
#pragma omp parallel for num_threads(options_.threads) if (options_.threads > 1 && n > kSerial)
  for (int i = 0; i < n; ++i) {
    const size_t j = i;
    float* v = out->data() + P * j;
    fit::natural_gradient(model_, units_[i], frame(i), &colors_[C * j], norms_[i], &v_means[2 * j], &v_conics[3 * j],
                          &v_colors_[C * j], v);
    if (options_.rate_term) fit::add_rate_gradient(model_, units_[i], frame(i), amplitudes(i), v);
    fit::hold(model_, mean(i), frame(i), -1.0f, v);
  }
}

void Fitter::refresh() {
  value_ = evaluate();
  gradient(&gradient_);
}

void Fitter::apply(const std::vector<float>& direction, float t, const FitState& from) {
  const int n = count(), C = channels_, P = parameters();
#pragma omp parallel for num_threads(options_.threads) if (options_.threads > 1 && n > kSerial)
  for (int i = 0; i < n; ++i) {
    const size_t j = i;
    fit::move(model_, units_[i], &direction[P * j], t, &from.means[2 * j], &from.frames[4 * j], &from.k[C * j],
              &means_[2 * j], &frames_[4 * j], &k_[C * j]);
  }
}

// Two-loop recursion; geometry is limited to |z| <= A / 2 a splat.
void Fitter::direction(std::vector<float>* out) {
  const int threads = options_.threads, C = channels_, P = parameters();
  std::vector<float>& d = *out;
  d.resize(gradient_.size());
  for (size_t i = 0; i < d.size(); ++i) d[i] = -gradient_[i];
  std::vector<double> alpha(pairs_.size()), rho(pairs_.size());
  for (size_t i = pairs_.size(); i-- > 0;) {
    rho[i] = 1.0 / dot(pairs_[i].s, pairs_[i].y, threads);
    alpha[i] = rho[i] * dot(pairs_[i].s, d, threads);
    add_scaled(d, pairs_[i].y, -alpha[i], threads);
  }
  const double scale =
      pairs_.empty() ? 0.1
                     : dot(pairs_.back().s, pairs_.back().y, threads) / dot(pairs_.back().y, pairs_.back().y, threads);
  for (float& v : d) v *= static_cast<float>(scale);
  for (size_t i = 0; i < pairs_.size(); ++i)
    add_scaled(d, pairs_[i].s, alpha[i] - rho[i] * dot(pairs_[i].y, d, threads), threads);
  for (int i = 0; i < count(); ++i) {
    const float limit = std::max(0.5f * units_[i].amplitude, 0.05f);
    for (int j = C; j < P; ++j)
      d[static_cast<size_t>(P) * i + j] = std::clamp(d[static_cast<size_t>(P) * i + j], -limit, limit);
    fit::hold(model_, mean(i), frame(i), 1.0f, &d[static_cast<size_t>(P) * i]);
  }
}

bool Fitter::step() {
  if (count() == 0) return false;
  std::vector<float> d;
  direction(&d);
  double slope = dot(gradient_, d, options_.threads);
  if (!(slope < 0)) {
    pairs_.clear();
    direction(&d);
    slope = dot(gradient_, d, options_.threads);
  }
  const FitState from{means_, frames_, k_};
  double t = 1;
  for (int attempt = 0; attempt < 5; ++attempt) {
    apply(d, static_cast<float>(t), from);
    const double value = evaluate();
    if (value <= value_ + 1e-4 * t * slope) {
      std::vector<float> before = std::move(gradient_);
      gradient(&gradient_);
      Pair pair;
      pair.s = std::move(d);
      for (float& v : pair.s) v *= static_cast<float>(t);
      pair.y = gradient_;
      for (size_t i = 0; i < pair.y.size(); ++i) pair.y[i] -= before[i];
      if (dot(pair.s, pair.y, options_.threads) > 1e-6 * dot(pair.y, pair.y, options_.threads)) {
        if (static_cast<int>(pairs_.size()) >= options_.memory) pairs_.erase(pairs_.begin());
        pairs_.push_back(std::move(pair));
      }
      value_ = value;
      return true;
    }
    // Minimum of the parabola through value, slope and the rejected value, kept in [0.15 t, 0.5 t].
    const double curvature = value - value_ - t * slope;
    const double best = curvature > 0 ? -slope * t * t / (2 * curvature) : 0.3 * t;
    t = std::clamp(best, 0.15 * t, 0.5 * t);
  }
  means_ = from.means;
  frames_ = from.frames;
  k_ = from.k;
  pairs_.clear();
  refresh();
  return false;
}

void Fitter::keep(const std::vector<uint8_t>& mask) {
  const auto compact = [&](std::vector<float>& v, int width) {
    size_t to = 0;
    for (size_t i = 0; i < mask.size(); ++i)
      if (mask[i]) {
        std::copy_n(v.begin() + static_cast<long>(i * width), width, v.begin() + static_cast<long>(to * width));
        ++to;
      }
    v.resize(to * width);
  };
  compact(means_, 2);
  compact(frames_, 4);
  compact(k_, channels_);
  for (Pair& p : pairs_) {
    compact(p.s, parameters());
    compact(p.y, parameters());
  }
}

int Fitter::prune(double factor) {
  const int n = count(), C = channels_;
  std::vector<uint8_t> mask(n, 1);
  int removed = 0;
  for (int i = 0; i < n; ++i) {
    double energy = 0, cross = 0;
    for (int c = 0; c < C; ++c) {
      const size_t j = static_cast<size_t>(C) * i + c;
      energy += k_[j] * k_[j];
      cross += colors_[j] * v_colors_[j];
    }
    const double bits = constant_bits() + fit::bits(model_, frame(i), amplitudes(i));
    // Distortion without the splat minus distortion with it
    if (density(i) * energy - 2 * cross <= factor * options_.lambda * std::max(bits, 8.0)) {
      mask[i] = 0;
      ++removed;
    }
  }
  if (removed) {
    keep(mask);
    for (size_t i = pairs_.size(); i-- > 0;)
      if (dot(pairs_[i].s, pairs_[i].y, 1) <= 1e-8) pairs_.erase(pairs_.begin() + static_cast<long>(i));
  }
  return removed;
}

void Fitter::add(const std::vector<float>& mean, const std::vector<float>& frame, const std::vector<float>& k) {
  means_.insert(means_.end(), mean.begin(), mean.end());
  frames_.insert(frames_.end(), frame.begin(), frame.end());
  k_.insert(k_.end(), k.begin(), k.end());
  for (Pair& p : pairs_) {
    p.s.resize(static_cast<size_t>(parameters()) * count(), 0.0f);
    p.y.resize(static_cast<size_t>(parameters()) * count(), 0.0f);
  }
}

void Fitter::resample_from(const Fitter& other, double factor) {
  const float f = static_cast<float>(factor);
  means_ = other.means_;
  frames_ = other.frames_;
  k_ = other.k_;
  for (auto* v : {&means_, &frames_, &k_})
    for (float& x : *v) x *= f;
  pairs_.clear();
  refresh();
}

std::vector<int32_t> Fitter::quantize() const {
  const int n = count(), C = channels_, width = C + kShapeParameters;
  const ColorSteps steps = color_steps(C, static_cast<int>(std::lround(8 * options_.chroma_step)));
  std::vector<int32_t> out(static_cast<size_t>(width) * n, 0);
  for (int i = 0; i < n; ++i) {
    int32_t* q = &out[static_cast<size_t>(width) * i];
    bool any = false;
    for (int c = 0; c < C; ++c) {
      const float v = k_[static_cast<size_t>(C) * i + c] / model_.steps[c];
      q[c] = static_cast<int>(
          std::clamp(std::nearbyint(v), -static_cast<float>(kMaxColor), static_cast<float>(kMaxColor)));
      any = any || q[c] != 0;
    }
    if (!any) continue;
    const fit::Eigen e = fit::eigen(frame(i));
    quantize_shape(energy_class(q, steps), std::log(e.s1), std::log(e.s2), e.angle, q + C);
    quantize_position(energy_class(q, steps), canvas_, means_[2 * static_cast<size_t>(i)],
                      means_[2 * static_cast<size_t>(i) + 1], q + C);
  }
  return out;
}

}  // namespace splat2d
