// Points by squares of the plane: which of them lie in some columns of a row.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace splat2d {

// Points of squares of 2^shift, in index order inside each: those of columns a .. b - 1 of a row are
// order[start(a, row)] .. order[start(b, row) - 1]. Where points are far fewer than squares, squares are searched for.
class Squares {
 public:
  // at: index -> x, y; most: points of a square that are kept, the last, or 0 for all
  template <class F>
  Squares(int64_t count, int shift, int32_t most, F at) {
    int64_t right = 0, bottom = 0;
    for (int64_t i = 0; i < count; ++i) {
      const auto [x, y] = at(i);
      left_ = i ? std::min(left_, x >> shift) : x >> shift;
      top_ = i ? std::min(top_, y >> shift) : y >> shift;
      right = std::max(right, x >> shift);
      bottom = std::max(bottom, y >> shift);
    }
    across_ = right - left_ + 3;  // an empty column on both sides
    down_ = bottom - top_ + 3;
    const auto square_of = [&](int64_t i) {
      const auto [x, y] = at(i);
      return ((y >> shift) - top_ + 1) * across_ + (x >> shift) - left_ + 1;
    };
    dense_ = across_ * down_ <= std::max(16 * count, std::min<int64_t>(64 * count, 1 << 16)) + 4096;
    if (!dense_) {
      keys_.resize(count);
      for (int64_t i = 0; i < count; ++i) keys_[i] = square_of(i);
      std::sort(keys_.begin(), keys_.end());
      keys_.erase(std::unique(keys_.begin(), keys_.end()), keys_.end());
    }
    start_.assign(static_cast<size_t>(dense_ ? across_ * down_ : static_cast<int64_t>(keys_.size())) + 1, 0);
    std::vector<int32_t> in(count);
    for (int64_t i = 0; i < count; ++i) {
      in[i] = static_cast<int32_t>(place(square_of(i)));
      ++start_[in[i] + 1];
    }
    // The number of a square's points that are left out, then where its next one goes.
    std::vector<int32_t> next(start_.size() - 1);
    for (size_t s = 0; s + 1 < start_.size(); ++s) {
      const int32_t all = start_[s + 1], kept = most ? std::min(all, most) : all;
      next[s] = start_[s] - (all - kept);
      start_[s + 1] = start_[s] + kept;
    }
    order.resize(start_.back());
    for (int64_t i = 0; i < count; ++i)
      if (const int32_t to = next[in[i]]++; to >= start_[in[i]]) order[to] = static_cast<int32_t>(i);
  }

  int32_t start(int64_t column, int64_t row) const {
    if (row < top_ - 1 || row > top_ + down_ - 2) return 0;
    return start_[place((row - top_ + 1) * across_ + std::clamp<int64_t>(column - left_, -1, across_ - 1) + 1)];
  }

  std::vector<int32_t> order;

 private:
  size_t place(int64_t square) const {
    if (dense_) return static_cast<size_t>(square);
    return static_cast<size_t>(std::lower_bound(keys_.begin(), keys_.end(), square) - keys_.begin());
  }

  bool dense_ = true;
  int64_t left_ = 0, top_ = 0, across_ = 0, down_ = 0;
  std::vector<int64_t> keys_;
  std::vector<int32_t> start_;
};

}  // namespace splat2d
