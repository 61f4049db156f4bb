// How splats of a clip go in time: duration, time and velocity, coded behind the rest of each batch. docs/FORMAT.md,
// section 9, is this in words.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "format/course.hpp"
#include "model/adaptive.hpp"
#include "model/integers.hpp"

namespace splat2d {

class Courses {
 public:
  Courses(const ColorSteps& steps, int frames) : steps_(steps), frames_(frames) {}

  // Codes the courses of splats, rows of integers whose planes are known; returns why they are damaged, or null.
  template <class Coder>
  const char* code(Coder& coder, const std::vector<int32_t*>& splats) {
    const size_t n = splats.size();
    const int C = steps_.channels;
    classes_.resize(n);
    contexts_.resize(n);
    values_.resize(n);
    for (size_t i = 0; i < n; ++i) classes_[i] = energy_class(splats[i], steps_);

    // Durations count down from the longest.
    for (size_t i = 0; i < n; ++i) {
      contexts_[i] = classes_[i] + 1;
      values_[i] = longest_duration(classes_[i], frames_) - splats[i][C + kDuration];
    }
    counted(coder);
    for (size_t i = 0; i < n; ++i) {
      splats[i][C + kDuration] = longest_duration(classes_[i], frames_) - values_[i];
      if (!duration_in_range(classes_[i], splats[i][C + kDuration], frames_)) return "a duration is out of range";
    }
    if (const char* fault = times(coder, splats)) return fault;

    std::vector<int32_t> still(n, 0);
    for (int axis = 0; axis < 2; ++axis) {
      for (size_t i = 0; i < n; ++i) {
        const int life = life_of(classes_[i], splats[i][C + kDuration], frames_);
        contexts_[i] = ((classes_[i] + 1) / 4 * kLives + life) * 3 + std::min(std::abs(still[i]), 2);
        values_[i] = splats[i][C + kSpeedY + axis];
      }
      speed_[axis].code(coder, contexts_, &escapes_, &values_);
      for (size_t i = 0; i < n; ++i) splats[i][C + kSpeedY + axis] = still[i] = values_[i];
    }
    return coder.damaged() ? "no symbol fits the range coder's state" : nullptr;
  }

 private:
  static constexpr int kDurations = 64;  // symbols, the last for all shorter ones
  static constexpr int kLives = 4;       // groups of durations, see life_of
  static constexpr size_t kSpeedContexts = size_t{kClasses} * kLives * 3;

  // Integers from 0 on: a symbol each, the last followed by tokens.
  template <class Coder>
  void counted(Coder& coder) {
    constexpr int kLast = kDurations - 1;
    symbols_.resize(values_.size());
    for (size_t i = 0; i < values_.size(); ++i) symbols_[i] = std::min(values_[i], kLast);
    duration_.code(coder, contexts_, &symbols_);
    far_.clear();
    sizes_.clear();
    for (size_t i = 0; i < values_.size(); ++i)
      if (symbols_[i] == kLast) {
        far_.push_back(i);
        sizes_.push_back(values_[i] - kLast);
      }
    escapes_.code(coder, &sizes_);
    for (size_t i = 0; i < values_.size(); ++i) values_[i] = symbols_[i];
    for (size_t k = 0; k < far_.size(); ++k) values_[far_[k]] = kLast + sizes_[k];
  }

  // A bin of an eighth of the clip, then the time inside it.
  template <class Coder>
  const char* times(Coder& coder, const std::vector<int32_t*>& splats) {
    const int C = steps_.channels;
    const size_t n = splats.size();
    const int64_t middle = int64_t{frames_} << (kTimeBits - 1), width = int64_t{frames_} << (kTimeBits - 3);
    for (size_t i = 0; i < n; ++i) {
      const int duration = splats[i][C + kDuration];
      contexts_[i] = life_of(classes_[i], duration, frames_);
      values_[i] =
          Coder::kDecodes ? 0 : time_bin(time_of(classes_[i], duration, splats[i][C + kTime], frames_), frames_);
    }
    time_.code(coder, contexts_, &values_);
    for (size_t i = 0; i < n; ++i) {
      const int64_t step = time_step(classes_[i], splats[i][C + kDuration], frames_);
      const int64_t start = values_[i] * width - 8 * width - middle;  // of the bin, from the clip's middle
      const int64_t first = -floor_div(-start, step), end = -floor_div(-(start + width), step);
      if (end <= first) return "a time that no splat can have";
      int32_t& time = splats[i][C + kTime];
      time = static_cast<int32_t>(first + coder.uniform(Attribute::kTime, end - first, time - first));
    }
    return nullptr;
  }

  ColorSteps steps_;
  int frames_;
  AdaptiveTable duration_{Attribute::kDuration, kClasses, prior(kDurations, [](int s) { return 1 + 64 / (1 + s); })};
  AdaptiveTable time_{Attribute::kTime, kLives,
                      prior(kTimeBins, [](int s) { return std::abs(2 * s - kTimeBins + 1) < 9 ? 8 : 1; })};
  std::array<SignedTable, 2> speed_{SignedTable{Attribute::kVelocity, kSpeedContexts},
                                    SignedTable{Attribute::kVelocity, kSpeedContexts}};
  Escapes escapes_{Attribute::kVelocity};
  std::vector<int32_t> classes_, contexts_, values_, symbols_, sizes_;
  std::vector<size_t> far_;  // splats that need a token
};

}  // namespace splat2d
