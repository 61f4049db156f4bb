// What is known around a splat before it is decoded, as small integers: the inputs of the entropy model's network.
//
// docs/FORMAT.md section 5 is this in words. Inputs are integers in units of 1/64 within +-1023, held in floats.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/quantizer.hpp"

namespace splat2d {

constexpr int64_t kInputOne = 64;  // what stands for 1 in an input
constexpr int kStepBias = 640;     // step code of D = 1; 64 codes double it, so that a code less it is log2 D in Q6

// log2(x) in Q6 for x >= 1, linear between powers of two.
int64_t log2_q6(int64_t x);

// An integer as the network takes it.
float network_input(int64_t x);

class Context {
 public:
  static constexpr int kNear = 8;         // nearest known splats that are looked at
  static constexpr int kNearInputs = 22;  // of each of them
  static constexpr int kPlaceInputs = 15;
  static constexpr int kSelfInputs = 11;
  static constexpr int kLevels = 14;  // of energy that the splat's own integers tell, 0 where not yet known

  // counts: splats in each tier.
  Context(Canvas canvas, int channels, int chroma_step, int step_code, const std::array<int64_t, kTiers>& counts);

  // Splats that have been decoded, [n, C + 5].
  void add(const int32_t* integers, size_t n);

  // Inputs of points (x, y pairs in Q12 px from the margin's corner) of a tier: place [n, kPlaceInputs] and
  // near [n, kNear, kNearInputs]. surroundings: [n, 4] from `surroundings`.
  void around(const int64_t* points, const int64_t* surroundings, size_t n, int tier, int threads, float* place,
              float* near) const;

  // Adds to what splats [n, C + 5] say of themselves, out [n, kSelfInputs] and levels [n], the last of the `known`
  // integers that are decoded. In coding order: magnitudes, area, aspect, angle, signs.
  void learn(const int32_t* integers, size_t n, int tier, int known, float* out, int32_t* levels) const;

  // Centres of the decoded splats, x and y in Q12 px from the margin's corner.
  std::vector<int64_t> centers() const;

  int channels() const { return channels_; }
  size_t size() const { return x_.size(); }

 private:
  struct Known {
    int64_t log_area, log_aspect;         // Q16
    Direction direction, twice;           // of the angle, and of twice the angle
    int64_t inverse_long, inverse_short;  // Q16 px^-1
    int64_t logs[kMaxChannels];           // signed log2(1 + |k|), Q6; by slot: luma, two opponents, alpha
  };
  int slot(int channel) const { return channel == channels_ - 1 && channels_ % 2 == 0 ? 3 : channel; }

  Canvas canvas_;
  int channels_;
  ColorSteps steps_;
  std::array<int64_t, kTiers> counts_;
  int64_t log_step_, log_spacing_;
  std::vector<int64_t> x_, y_, area_;  // Q12, Q12, Q16 (s1 s2)
  std::vector<Known> known_;
  std::array<int64_t, 5> sums_{};  // of the four |logs| and of log_aspect in Q6
};

// What the points of a tier say of each other, [n, 4] in Q6: log2 of their number in the 3 x 3 squares around each, at
// the tier's size and at four times it; and in the smaller squares the sum of cos 2 phi and sin 2 phi of the directions
// to the others, near ones the more.
std::vector<int64_t> surroundings(const int64_t* points, size_t n, int tier);

}  // namespace splat2d
