#include "fit/descent.hpp"

#include <algorithm>
#include <utility>

namespace splat2d {

namespace {

constexpr int kAttempts = 5;       // of a line search
constexpr double kDescent = 1e-4;  // of the slope's promise that a step must keep (Armijo)

constexpr float kNear = 16;  // px within which the order of splats does not matter

// The bits of x and y in turn (Morton order).
uint32_t interleaved(uint32_t x, uint32_t y) {
  const auto spread = [](uint32_t v) {
    v = (v | v << 8) & 0x00ff00ff;
    v = (v | v << 4) & 0x0f0f0f0f;
    v = (v | v << 2) & 0x33333333;
    return (v | v << 1) & 0x55555555;
  };
  return spread(x) | spread(y) << 1;
}

}  // namespace

Descent::Descent(const Device& device, Rows rows, int channels, int memory)
    : rows_(rows),
      channels_(channels),
      device_(device),
      memory_(device_, memory),
      numbers_(kProducts + Lbfgs::products_of(memory)) {}

void Descent::refresh() {
  look_up();
  evaluate();
  gradient(&gradient_);
  memory_.forget();
  numbers_.fetch();
  value_ = value();
}

void Descent::turn() {
  memory_.direction(gradient_, &direction_);
  limit(from_, &direction_);
  device_.dots({{gradient_.data(), direction_.data()}}, direction_.size(), numbers_.at(kSlope));
}

void Descent::look(double t) {
  gradient(&next_gradient_);
  memory_.propose(direction_, static_cast<float>(t), gradient_, next_gradient_, numbers_.at(kProducts));
}

bool Descent::step() {
  if (count() == 0) return false;
  std::swap(state_, from_);
  state_.means.resize(from_.means.size());
  state_.frames.resize(from_.frames.size());
  state_.k.resize(from_.k.size());
  turn();
  double t = 1;
  for (int attempt = 0; attempt < kAttempts;) {
    move(direction_, static_cast<float>(t), from_);
    evaluate();
    if (Device::kLooksAhead) look(t);
    numbers_.fetch();
    const double next = value(), slope = numbers_[kSlope];
    if (!(slope < 0) && !memory_.empty()) {
      memory_.clear();
      turn();
      continue;
    }
    if (next <= value_ + kDescent * t * slope) {
      if (!Device::kLooksAhead) {
        look(t);
        numbers_.fetch();
      }
      memory_.take(numbers_.data() + kProducts);
      std::swap(gradient_, next_gradient_);
      value_ = next;
      return true;
    }
    // Minimum of the parabola through value, slope and the rejected value, kept in [0.15 t, 0.5 t].
    const double curvature = next - value_ - t * slope;
    const double best = curvature > 0 ? -slope * t * t / (2 * curvature) : 0.3 * t;
    t = std::clamp(best, 0.15 * t, 0.5 * t);
    ++attempt;
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
    // Neighbours in the picture are neighbours in memory, and share what the caches hold.
    const std::vector<float> means = state_.means.host();
    const auto cell = [&](int axis, int i) {
      return static_cast<uint32_t>(std::clamp(means[rows_.mean * i + axis] / kNear, 0.0f, 65535.0f));
    };
    std::vector<std::pair<uint32_t, int>> order;
    for (const int i : kept) order.push_back({interleaved(cell(0, i), cell(1, i)), i});
    std::sort(order.begin(), order.end());
    for (size_t i = 0; i < kept.size(); ++i) kept[i] = order[i].second;
    const Array<int> rows(std::move(kept));
    state_ = {gathered(device_, state_.means, rows, rows_.mean), gathered(device_, state_.frames, rows, rows_.factor),
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
