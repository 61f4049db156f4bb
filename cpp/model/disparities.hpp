// How splats of a light field go from view to view: the disparity, coded behind the rest of each batch, relative to
// that of the known splats nearby. docs/FORMAT.md, section 13, is this in words.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <utility>
#include <vector>

#include "format/views.hpp"
#include "model/integers.hpp"
#include "model/squares.hpp"

namespace splat2d {

class Disparities {
 public:
  Disparities(const ColorSteps& steps, const Eyes& eyes) : steps_(steps), eyes_(eyes) {}

  // With only some of the splats, in the order given.
  Disparities of(const std::vector<int32_t>& known) const {
    Disparities out = *this;
    out.known_.clear();
    for (const int32_t i : known) out.known_.push_back(known_[i]);
    return out;
  }

  // Codes the disparities of splats, rows of integers whose planes are known; returns why they are damaged, or null.
  template <class Coder>
  const char* code(Coder& coder, const std::vector<int32_t*>& splats) {
    const size_t n = splats.size();
    const int C = steps_.channels;
    std::vector<Known> batch(n);
    std::vector<int64_t> quanta(n);
    std::vector<int32_t> contexts(n), guesses(n), values(n);
    const Squares squares(static_cast<int64_t>(known_.size()), kShift, kMostInSquare,
                          [&](int64_t i) { return std::pair<int64_t, int64_t>(known_[i].x, known_[i].y); });
    for (size_t i = 0; i < n; ++i) {
      const int32_t* q = splats[i];
      const int r = energy_class(q, steps_);
      const Lattice l = make_lattice(r, q[C], q[C + 1], q[C + 2]);
      batch[i] = {l.x(q[C + 4], q[C + 3]), l.y(q[C + 3]), 0};
      quanta[i] = disparity_step(r, q[C], q[C + 1], eyes_);
      const Guess guess = guess_at(squares, batch[i].x, batch[i].y);
      guesses[i] = static_cast<int32_t>(floor_div(guess.disparity + quanta[i] / 2, quanta[i]));
      contexts[i] = context_of(guess, quanta[i]);
      if (!Coder::kDecodes) values[i] = q[C + kDisparity] - guesses[i];
    }
    table_.code(coder, contexts, &escapes_, &values);
    if (coder.damaged()) return "no symbol fits the range coder's state";
    for (size_t i = 0; i < n; ++i) {
      const int32_t disparity = values[i] + guesses[i];
      if (!disparity_in_range(disparity, quanta[i])) return "a disparity is out of range";
      splats[i][C + kDisparity] = disparity;
      batch[i].disparity = disparity * quanta[i];
    }
    known_.insert(known_.end(), batch.begin(), batch.end());
    return nullptr;
  }

 private:
  static constexpr int kNear = 4;                   // known splats that a guess is made of
  static constexpr int kShift = kPositionBits + 5;  // squares of 32 px
  static constexpr int kMostInSquare = 64;          // known splats of a square that are looked at, the latest
  static constexpr int kSpreads = 8;                // of the near splats' disparities, in steps; the last for none

  struct Known {
    int64_t x, y;       // Q12 px
    int64_t disparity;  // Q16 px a step of the grid
  };
  struct Guess {
    int64_t disparity, spread;
    int count;
  };

  // The mean of the nearest, near ones the more, and how far they lie apart.
  Guess guess_at(const Squares& squares, int64_t x, int64_t y) const {
    int64_t nearest[kNear], value[kNear];
    int count = 0;
    const int64_t column = x >> kShift, row = y >> kShift;
    for (int64_t r = row - 1; r <= row + 1; ++r)
      for (int32_t at = squares.start(column - 1, r); at < squares.start(column + 2, r); ++at) {
        const Known& k = known_[squares.order[at]];
        const int64_t dx = (k.x - x) >> 8, dy = (k.y - y) >> 8, distance = dx * dx + dy * dy;  // (1/16 px)^2
        if (count == kNear && distance >= nearest[kNear - 1]) continue;
        int j = count < kNear ? count++ : kNear - 1;
        for (; j > 0 && nearest[j - 1] > distance; --j) {
          nearest[j] = nearest[j - 1];
          value[j] = value[j - 1];
        }
        nearest[j] = distance;
        value[j] = k.disparity;
      }
    if (count == 0) return {0, 0, 0};
    int64_t weights[kNear], total = 0, sum = 0;
    for (int j = 0; j < count; ++j) {
      weights[j] = (1 << 12) * (nearest[0] + 256) / (nearest[j] + 256);
      total += weights[j];
      sum += weights[j] * value[j];
    }
    const int64_t mean = floor_div(sum, total);
    int64_t apart = 0;
    for (int j = 0; j < count; ++j) apart += weights[j] * std::abs(value[j] - mean);
    return {mean, apart / total, count};
  }

  // How sure a guess is, in steps of the disparity.
  static int context_of(const Guess& guess, int64_t quantum) {
    if (guess.count == 0) return kSpreads - 1;
    int spread = 0;
    for (int64_t limit = quantum >> 2; spread < kSpreads - 2 && guess.spread >= limit; limit *= 2) ++spread;
    return spread;
  }

  ColorSteps steps_;
  Eyes eyes_;
  SignedTable table_{Attribute::kDisparity, kSpreads};
  Escapes escapes_{Attribute::kDisparity};
  std::vector<Known> known_;
};

}  // namespace splat2d
