#include "descent.hpp"

#include <algorithm>
#include <utility>

namespace splat2d {

namespace {

constexpr int kAttempts = 5;       // of a line search
constexpr double kDescent = 1e-4;  // of the slope's promise that a step must keep (Armijo)

// s *= taken and y = g - y
void to_pair(const Device& device, float taken, const Array<float>& gradient, Array<float>* step,
             Array<float>* change) {
  float *s = step->data(), *y = change->data();
  const float* g = gradient.data();
  device.for_each(static_cast<int64_t>(step->size()), [=] SPLAT2D_LOOP(int64_t i) {
    s[i] *= taken;
    y[i] = g[i] - y[i];
  });
}

}  // namespace

Descent::Descent(const Device& device, int dimensions, int channels, int memory)
    : dimensions_(dimensions), channels_(channels), device_(device), memory_(device_, memory) {}

void Descent::refresh() {
  value_ = evaluate();
  gradient(&gradient_);
}

void Descent::direction(Array<float>* out) const {
  memory_.direction(gradient_, out);
  limit(out);
}

bool Descent::step() {
  if (count() == 0) return false;
  Array<float> d;
  const auto slope_of = [&] { return device_.dots({{gradient_.data(), d.data()}}, d.size())[0]; };
  direction(&d);
  double slope = slope_of();
  if (!(slope < 0)) {
    memory_.clear();
    direction(&d);
    slope = slope_of();
  }
  std::swap(state_, from_);
  state_.means.resize(from_.means.size());
  state_.frames.resize(from_.frames.size());
  state_.k.resize(from_.k.size());
  double t = 1;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    move(d, static_cast<float>(t), from_);
    const double value = evaluate();
    if (value <= value_ + kDescent * t * slope) {
      Array<float> change = std::move(gradient_);
      gradient_ = {};
      gradient(&gradient_);
      to_pair(device_, static_cast<float>(t), gradient_, &d, &change);
      memory_.push(std::move(d), std::move(change));
      value_ = value;
      return true;
    }
    // Minimum of the parabola through value, slope and the rejected value, kept in [0.15 t, 0.5 t].
    const double curvature = value - value_ - t * slope;
    const double best = curvature > 0 ? -slope * t * t / (2 * curvature) : 0.3 * t;
    t = std::clamp(best, 0.15 * t, 0.5 * t);
  }
  std::swap(state_, from_);
  memory_.clear();
  refresh();
  return false;
}

int Descent::keep(const std::vector<uint8_t>& flags) {
  const int n = count();
  std::vector<int> kept;
  for (int i = 0; i < n; ++i)
    if (flags[i]) kept.push_back(i);
  const int removed = n - static_cast<int>(kept.size());
  if (removed) {
    const Array<int> rows(std::move(kept));
    state_ = {gathered(device_, state_.means, rows, dimensions_),
              gathered(device_, state_.frames, rows, dimensions_ * dimensions_),
              gathered(device_, state_.k, rows, channels_)};
    memory_.gather(rows, parameters());
  }
  return removed;
}

void Descent::add(const std::vector<float>& means, const std::vector<float>& frames, const std::vector<float>& k) {
  state_.means.append(means);
  state_.frames.append(frames);
  state_.k.append(k);
  memory_.extend(static_cast<size_t>(parameters()) * count());
}

}  // namespace splat2d
