#include "fitter.hpp"

#include <omp.h>

#include <algorithm>
#include <cmath>

namespace splat2d {

namespace {

constexpr float kPi = 3.14159265f;
constexpr float kInvLn2 = 1.44269504f;
// Bits that a doubling of the area saves: wide splats have coarser positions, but rarer shapes.
constexpr float kAreaBits = 0.5f;
constexpr float kEnergyBits = 2.5f, kColorBits = 1.3f;
constexpr float kScaleMax = 1000.0f;  // px, standard deviation
// Centres stay so far outside the canvas at most, px, well inside the margin: rounding must not move them.
constexpr float kReach = kMargin - 4.0f;
// Amplitude in D that stands for all splats without natural units; the best of 1, 2, 4 ... 64.
constexpr double kPlainAmplitude = 16.0;

// Loops over fewer splats than this are not worth a second thread.
constexpr int kSerial = 2048;

// A fixed partition of a sum, so that it does not depend on the number of threads.
constexpr int kSumChunk = 1 << 14;

struct Eigen {
  float s1, s2, angle;  // standard deviations, s1 >= s2
};

Eigen eigen(const float* l) {
  const float xx = l[0] * l[0] + l[1] * l[1], yy = l[2] * l[2] + l[3] * l[3], xy = l[0] * l[2] + l[1] * l[3];
  const float half = 0.5f * (xx + yy), r = std::hypot(0.5f * (xx - yy), xy);
  const float det = std::fabs(l[0] * l[3] - l[1] * l[2]);
  const float l1 = half + r;
  return {std::sqrt(l1), det / std::sqrt(l1), 0.5f * std::atan2(2 * xy, xx - yy)};
}

// Brings both standard deviations of L L^T into [kScaleFloor, kScaleMax], keeping the axes.
void clamp_scales(float* l) {
  const float xx = l[0] * l[0] + l[1] * l[1], yy = l[2] * l[2] + l[3] * l[3], xy = l[0] * l[2] + l[1] * l[3];
  const float det = l[0] * l[3] - l[1] * l[2], difference = 0.5f * (xx - yy);
  const float s1_squared = 0.5f * (xx + yy) + std::sqrt(difference * difference + xy * xy);
  if (s1_squared <= kScaleMax * kScaleMax && det * det >= kScaleFloor * kScaleFloor * s1_squared) return;
  const Eigen e = eigen(l);
  const float f1 = std::clamp(e.s1, kScaleFloor, kScaleMax) / e.s1;
  const float f2 = std::clamp(e.s2, kScaleFloor, kScaleMax) / std::max(e.s2, 1e-12f);
  const float c = std::cos(e.angle), s = std::sin(e.angle);
  const float a = c * c * f1 + s * s * f2, b = c * s * (f1 - f2), d = s * s * f1 + c * c * f2;
  const float m[4] = {l[0], l[1], l[2], l[3]};
  l[0] = a * m[0] + b * m[2];
  l[1] = a * m[1] + b * m[3];
  l[2] = b * m[0] + d * m[2];
  l[3] = b * m[1] + d * m[3];
}

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
  basis_.assign(color_basis(channels), color_basis(channels) + channels * channels);
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
  component_steps_.assign(channels_, static_cast<float>(step));
  if (channels_ >= 3) component_steps_[1] = component_steps_[2] = static_cast<float>(step * options_.chroma_step);
}

void Fitter::update_geometry() {
  const int n = count(), C = channels_;
  conics_.resize(3 * static_cast<size_t>(n));
  colors_.resize(static_cast<size_t>(C) * n);
  norms_.resize(n);
#pragma omp parallel for num_threads(options_.threads) if (options_.threads > 1 && n > kSerial)
  for (int i = 0; i < n; ++i) {
    const float* l = &frames_[4 * static_cast<size_t>(i)];
    const float det = l[0] * l[3] - l[1] * l[2], inverse = 1.0f / (det * det);
    float* q = &conics_[3 * static_cast<size_t>(i)];
    q[0] = (l[2] * l[2] + l[3] * l[3]) * inverse;
    q[1] = -(l[0] * l[2] + l[1] * l[3]) * inverse;
    q[2] = (l[0] * l[0] + l[1] * l[1]) * inverse;
    norms_[i] = std::sqrt(kPi * std::fabs(det));
    for (int c = 0; c < C; ++c) {
      float v = 0;
      for (int j = 0; j < C; ++j) v += k_[static_cast<size_t>(C) * i + j] * basis_[C * j + c];
      colors_[static_cast<size_t>(C) * i + c] = v / norms_[i];
    }
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

// What the rate of a splat follows from.
struct Fitter::RateTerms {
  float r2;           // 1 + A^2 / D^2
  float det;          // s1 s2
  float cosh, sinh2;  // of log(s1 / s2)
  float x;            // 1 + sinh^2 r2
};

Fitter::RateTerms Fitter::rate_terms(int i) const {
  const float* k = &k_[static_cast<size_t>(channels_) * i];
  const float* l = &frames_[4 * static_cast<size_t>(i)];
  RateTerms t;
  float energy = 0, squares = 0;
  for (int c = 0; c < channels_; ++c) energy += k[c] * k[c];
  for (int j = 0; j < 4; ++j) squares += l[j] * l[j];
  t.r2 = 1 + energy / (component_steps_[0] * component_steps_[0]);
  t.det = std::fabs(l[0] * l[3] - l[1] * l[2]);
  t.cosh = squares / (2 * t.det);
  t.sinh2 = std::max(t.cosh * t.cosh - 1, 0.0f);
  t.x = 1 + t.sinh2 * t.r2;
  return t;
}

// Bits of one splat without the constant.
float Fitter::splat_bits(int i) const {
  const RateTerms t = rate_terms(i);
  float colors = 1;
  for (int c = 0; c < channels_; ++c)
    colors *= 1 + std::fabs(k_[static_cast<size_t>(channels_) * i + c]) / component_steps_[c];
  static_assert(kAreaBits == 0.5f, "the area shares a logarithm with the angle's half bit");
  return kEnergyBits * std::log2(t.r2) + 0.5f * std::log2(t.x / t.det) + kColorBits * std::log2(colors);
}

double Fitter::total_bits() const {
  const int n = count();
  std::vector<double> bits((n + 1023) / 1024, 0.0);
#pragma omp parallel for num_threads(options_.threads) if (options_.threads > 1 && n > kSerial)
  for (int block = 0; block < static_cast<int>(bits.size()); ++block)
    for (int i = block * 1024; i < std::min(n, (block + 1) * 1024); ++i) bits[block] += splat_bits(i);
  double total = 0;
  for (double b : bits) total += b;
  return total;
}

// Adds lambda / 2 times the natural-unit gradient of a splat's bits to v [C + 5].
void Fitter::add_rate_gradient(int i, float* v) const {
  const int C = channels_;
  const float* k = &k_[static_cast<size_t>(C) * i];
  const float* l = &frames_[4 * static_cast<size_t>(i)];
  const RateTerms t = rate_terms(i);
  const float D2 = component_steps_[0] * component_steps_[0];
  const float scale = static_cast<float>(0.5 * options_.lambda) * kInvLn2;
  const float from_energy = (2 * kEnergyBits / t.r2 + t.sinh2 / t.x) / D2;
  for (int c = 0; c < C; ++c) {
    const float d = component_steps_[c], s = 4 * k[c] / d;
    // A smooth sign rounds the corner of |k| at 0.
    v[c] += scale * unit_k_[i] * (from_energy * k[c] + kColorBits * s / std::sqrt(1 + s * s) / (d + std::fabs(k[c])));
  }
  const float g11 = l[0] * l[0] + l[2] * l[2], g22 = l[1] * l[1] + l[3] * l[3], g12 = l[0] * l[1] + l[2] * l[3];
  const float from_aspect = 0.5f * t.r2 / t.x * t.cosh / t.det;
  v[C + 2] -= kAreaBits * scale * unit_e_[i];
  v[C + 3] += scale * from_aspect * (g11 - g22) * unit_e_[i];
  v[C + 4] += scale * from_aspect * 2 * g12 * unit_e_[i];
}

float Fitter::density(int i) const {
  if (!distortion_) return 1;
  const float* l = &frames_[4 * static_cast<size_t>(i)];
  const float deviation = std::sqrt(std::fabs(l[0] * l[3] - l[1] * l[2]));
  return distortion_->density(means_[2 * static_cast<size_t>(i)], means_[2 * static_cast<size_t>(i) + 1], deviation);
}

void Fitter::update_metric() {
  const int n = count(), C = channels_;
  unit_k_.resize(n);
  unit_u_.resize(n);
  unit_e_.resize(n);
  amplitude_.resize(n);
  const float floor2 = static_cast<float>(options_.amplitude_floor * options_.amplitude_floor);
  const float plain = static_cast<float>(kPlainAmplitude * options_.step);
#pragma omp parallel for num_threads(options_.threads) if (options_.threads > 1 && n > kSerial)
  for (int i = 0; i < n; ++i) {
    float energy = floor2;
    const float weight = density(i);
    for (int c = 0; c < C; ++c)
      energy += weight * k_[static_cast<size_t>(C) * i + c] * k_[static_cast<size_t>(C) * i + c];
    unit_k_[i] = options_.natural_units ? 1 / std::sqrt(weight) : 1;
    amplitude_[i] = options_.natural_units ? std::sqrt(energy) : plain;
    unit_u_[i] = 1.41421356f / amplitude_[i];
    unit_e_[i] = 2.0f / amplitude_[i];
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
    const float* l = &frames_[4 * static_cast<size_t>(i)];
    const float* vc = &v_colors_[static_cast<size_t>(C) * i];
    float* v = out->data() + static_cast<size_t>(P) * i;
    float color_dot = 0;
    for (int c = 0; c < C; ++c) color_dot += vc[c] * colors_[static_cast<size_t>(C) * i + c];
    for (int j = 0; j < C; ++j) {
      float sum = 0;
      for (int c = 0; c < C; ++c) sum += basis_[C * j + c] * vc[c];
      v[j] = sum / norms_[i] * unit_k_[i];
    }
    const float* vm = &v_means[2 * static_cast<size_t>(i)];
    v[C] = (l[0] * vm[0] + l[2] * vm[1]) * unit_u_[i];
    v[C + 1] = (l[1] * vm[0] + l[3] * vm[1]) * unit_u_[i];
    // d q = -p^T E p with p = L^-1 dx; v_conics holds the moments of dx, so transform them by L^-1.
    const float det = l[0] * l[3] - l[1] * l[2];
    const float w1 = l[3] / det, w2 = -l[1] / det, w3 = -l[2] / det, w4 = l[0] / det;
    const float* vq = &v_conics[3 * static_cast<size_t>(i)];
    const float a = vq[0], b = 0.5f * vq[1], c = vq[2];
    const float e11 = -(w1 * w1 * a + 2 * w1 * w2 * b + w2 * w2 * c);
    const float e22 = -(w3 * w3 * a + 2 * w3 * w4 * b + w4 * w4 * c);
    const float e12 = -(w1 * w3 * a + (w1 * w4 + w2 * w3) * b + w2 * w4 * c);
    v[C + 2] = (e11 + e22 - 0.5f * color_dot) * unit_e_[i];
    v[C + 3] = (e11 - e22) * unit_e_[i];
    v[C + 4] = 2 * e12 * unit_e_[i];
    if (options_.rate_term) add_rate_gradient(i, v);
    hold(i, -1.0f, v);
  }
}

void Fitter::hold(int i, float sign, float* z) const {
  constexpr float kTouch = 1.001f;
  const float* l = &frames_[4 * static_cast<size_t>(i)];
  const float* m = &means_[2 * static_cast<size_t>(i)];
  const int sides[] = {canvas_.width, canvas_.height};
  float* u = z + channels_;
  for (int axis = 0; axis < 2; ++axis) {
    const float* row = l + 2 * axis;
    const float outward = sign * (row[0] * u[0] + row[1] * u[1]);
    const bool low = m[axis] <= -kReach && outward < 0;
    const bool high = m[axis] >= static_cast<float>(sides[axis]) + kReach && outward > 0;
    if (!low && !high) continue;
    const float part = (row[0] * u[0] + row[1] * u[1]) / (row[0] * row[0] + row[1] * row[1]);
    u[0] -= part * row[0];
    u[1] -= part * row[1];
  }
  // Deviations along the right singular vectors of L: E changes the logarithm of each by a half of t +- (c d + w s).
  const float xx = l[0] * l[0] + l[2] * l[2], yy = l[1] * l[1] + l[3] * l[3], xy = l[0] * l[1] + l[2] * l[3];
  const float r = std::sqrt(0.25f * (xx - yy) * (xx - yy) + xy * xy), long_squared = 0.5f * (xx + yy) + r;
  const float det = l[0] * l[3] - l[1] * l[2];
  constexpr float kFloor = kScaleFloor * kScaleFloor * kTouch;
  if (det * det > kFloor * long_squared) return;
  const float c = r > 0 ? 0.5f * (xx - yy) / r : 1.0f, w = r > 0 ? xy / r : 0.0f;
  float* e = z + channels_ + 2;
  const auto keep_from_shrinking = [&](float side) {
    const float grows = e[0] + side * (c * e[1] + w * e[2]);
    if (sign * grows >= 0) return;
    e[0] -= 0.5f * grows;
    e[1] -= 0.5f * grows * side * c;
    e[2] -= 0.5f * grows * side * w;
  };
  keep_from_shrinking(-1.0f);
  if (long_squared <= kFloor) keep_from_shrinking(1.0f);
}

void Fitter::refresh() {
  value_ = evaluate();
  gradient(&gradient_);
}

void Fitter::apply(const std::vector<float>& direction, float t, const FitState& from) {
  const int n = count(), C = channels_, P = parameters();
#pragma omp parallel for num_threads(options_.threads) if (options_.threads > 1 && n > kSerial)
  for (int i = 0; i < n; ++i) {
    const float* z = &direction[static_cast<size_t>(P) * i];
    const float* m = &from.means[2 * static_cast<size_t>(i)];
    const float* l = &from.frames[4 * static_cast<size_t>(i)];
    for (int c = 0; c < C; ++c)
      k_[static_cast<size_t>(C) * i + c] = from.k[static_cast<size_t>(C) * i + c] + t * z[c] * unit_k_[i];
    const auto bounded = [&](int j, float unit, float limit) { return std::clamp(t * z[C + j] * unit, -limit, limit); };
    const float u1 = bounded(0, unit_u_[i], 1.0f), u2 = bounded(1, unit_u_[i], 1.0f);
    const float et = bounded(2, unit_e_[i], 0.7f), ed = bounded(3, unit_e_[i], 0.7f), es = bounded(4, unit_e_[i], 0.7f);
    means_[2 * static_cast<size_t>(i)] =
        std::clamp(m[0] + l[0] * u1 + l[1] * u2, -kReach, static_cast<float>(canvas_.width) + kReach);
    means_[2 * static_cast<size_t>(i) + 1] =
        std::clamp(m[1] + l[2] * u1 + l[3] * u2, -kReach, static_cast<float>(canvas_.height) + kReach);
    // exp(E / 2) to second order
    const float e11 = 0.5f * (et + ed), e22 = 0.5f * (et - ed), e12 = 0.5f * es;
    const float f11 = 1 + e11 + 0.5f * (e11 * e11 + e12 * e12), f22 = 1 + e22 + 0.5f * (e22 * e22 + e12 * e12);
    const float f12 = e12 * (1 + 0.5f * (e11 + e22));
    float* f = &frames_[4 * static_cast<size_t>(i)];
    f[0] = l[0] * f11 + l[1] * f12;
    f[1] = l[0] * f12 + l[1] * f22;
    f[2] = l[2] * f11 + l[3] * f12;
    f[3] = l[2] * f12 + l[3] * f22;
    clamp_scales(f);
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
    const float limit = std::max(0.5f * amplitude_[i], 0.05f);
    for (int j = C; j < P; ++j)
      d[static_cast<size_t>(P) * i + j] = std::clamp(d[static_cast<size_t>(P) * i + j], -limit, limit);
    hold(i, 1.0f, &d[static_cast<size_t>(P) * i]);
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
    const double bits = constant_bits() + splat_bits(i);
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
      const float v = k_[static_cast<size_t>(C) * i + c] / component_steps_[c];
      q[c] = static_cast<int>(
          std::clamp(std::nearbyint(v), -static_cast<float>(kMaxColor), static_cast<float>(kMaxColor)));
      any = any || q[c] != 0;
    }
    if (!any) continue;
    const Eigen e = eigen(&frames_[4 * static_cast<size_t>(i)]);
    quantize_shape(energy_class(q, steps), std::log(e.s1), std::log(e.s2), e.angle, q + C);
    quantize_position(energy_class(q, steps), canvas_, means_[2 * static_cast<size_t>(i)],
                      means_[2 * static_cast<size_t>(i) + 1], q + C);
  }
  return out;
}

}  // namespace splat2d
