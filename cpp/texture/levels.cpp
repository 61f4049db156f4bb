#include "texture/levels.hpp"

#include <algorithm>
#include <cmath>

#include "model/coders.hpp"

namespace splat2d {

namespace {

constexpr int kNear = 9, kAcross = 7;  // contexts by the neighbours of the plane, and by other bands and directions
constexpr int kContexts = 2 * kNear * kAcross;
constexpr int kLeast = 64;  // of 2^16: a decision's smallest share

// What is known of a level before it is coded.
struct Known {
  int near, across;  // sums of two levels each
};

Known known(const Strengths& s, const uint8_t* levels, int band, int row, int column, int direction) {
  const int west = column ? levels[s.at(band, row, column - 1, direction)] : -1;
  const int north = row ? levels[s.at(band, row - 1, column, direction)] : -1;
  const int coarse = band + 1 < s.bands ? levels[s.at(band + 1, row, column, direction)] : -1;
  const int before = direction ? levels[s.at(band, row, column, direction - 1)] : -1;
  // What is missing is like its partner, and a missing pair like the other one.
  const auto pair = [](int a, int b) { return a < 0 ? (b < 0 ? -1 : 2 * b) : a + (b < 0 ? a : b); };
  int near = pair(west, north), across = pair(coarse, before);
  if (near < 0) near = std::max(across, 0);
  if (across < 0) across = near;
  return {near, across};
}

// Of the decision whether a level is above `t`.
int context_of(Known k, int t) {
  const int near = std::clamp(k.near - 2 * t, -3, kNear - 4) + 3;
  const int across = std::clamp(k.across - 2 * t, -2, kAcross - 3) + 2;
  return ((t > 0) * kNear + near) * kAcross + across;
}

struct Decision {
  uint16_t share;  // of "yes", of 2^16
  uint8_t seen;
};

class Model {
 public:
  Model() {
    for (int first = 0; first < 2; ++first)
      for (int near = 0; near < kNear; ++near)
        for (int across = 0; across < kAcross; ++across)
          decisions_[(first * kNear + near) * kAcross + across] = {
              static_cast<uint16_t>(std::clamp(20000 + 5000 * (near - 3) + 3000 * (across - 2), 2000, 63000)), 0};
  }
  const Decision& operator[](int context) const { return decisions_[context]; }

  template <class Coder>
  int code(Coder& coder, Known k, int level) {
    int t = 0;
    for (; t < kMaxLevel; ++t) {
      Decision& d = decisions_[context_of(k, t)];
      const uint16_t weights[2] = {static_cast<uint16_t>(65536 - d.share), d.share};
      const int above = coder.symbol(Attribute::kLuma, weights, 2, level > t);
      const int rate = std::min(d.seen + 2, 6);
      const int share = d.share + (((above << 16) - d.share) >> rate);
      d.share = static_cast<uint16_t>(std::clamp(share, kLeast, 65536 - kLeast));
      if (d.seen < 4) ++d.seen;
      if (!above) break;
    }
    return t;
  }

 private:
  Decision decisions_[kContexts];
};

template <class Coder>
void code(Coder& coder, Model& model, const Strengths& s, uint8_t* levels) {
  for (int band = s.bands - 1; band >= 0; --band)
    for (int row = 0; row < s.rows; ++row)
      for (int column = 0; column < s.columns; ++column)
        for (int d = 0; d < s.directions; ++d) {
          uint8_t& level = levels[s.at(band, row, column, d)];
          level = static_cast<uint8_t>(model.code(coder, known(s, levels, band, row, column, d), level));
        }
}

// Counts for nothing but the model.
struct Silent {
  int symbol(Attribute, const uint16_t*, int, int value) { return value; }
};

class Chooser {
 public:
  Chooser(const Strengths& shape, const float* costs, double lmbda, uint8_t* levels)
      : s_(shape), costs_(costs), lmbda_(lmbda), levels_(levels) {}

  void round() {
    Model model;
    Silent silent;
    code(silent, model, s_, levels_);
    for (int c = 0; c < kContexts; ++c) {
      const double share = model[c].share / 65536.0;
      bits_[c][0] = -std::log2(1 - share);
      bits_[c][1] = -std::log2(share);
    }
    for (int band = s_.bands - 1; band >= 0; --band)
      for (int row = 0; row < s_.rows; ++row)
        for (int column = 0; column < s_.columns; ++column)
          for (int d = 0; d < s_.directions; ++d) visit(band, row, column, d);
  }

 private:
  double bits(int band, int row, int column, int direction) const {
    const Known k = known(s_, levels_, band, row, column, direction);
    const int level = levels_[s_.at(band, row, column, direction)];
    double sum = 0;
    for (int t = 0; t < kMaxLevel; ++t) {
      const bool above = level > t;
      sum += bits_[context_of(k, t)][above];
      if (!above) break;
    }
    return sum;
  }
  void visit(int band, int row, int column, int d) {
    const size_t at = s_.at(band, row, column, d);
    const int present = levels_[at];
    const int candidates[] = {present,
                              0,
                              present - 1,
                              present + 1,
                              present + 2,
                              column ? levels_[s_.at(band, row, column - 1, d)] : 0,
                              row ? levels_[s_.at(band, row - 1, column, d)] : 0};
    double least = 1e300;
    int best = present;
    for (const int level : candidates) {
      if (level < 0 || level > kMaxLevel) continue;
      levels_[at] = static_cast<uint8_t>(level);
      double cost = bits(band, row, column, d);
      if (column + 1 < s_.columns) cost += bits(band, row, column + 1, d);
      if (row + 1 < s_.rows) cost += bits(band, row + 1, column, d);
      if (band > 0) cost += bits(band - 1, row, column, d);
      if (d + 1 < s_.directions) cost += bits(band, row, column, d + 1);
      cost = costs_[at * (kMaxLevel + 1) + level] + lmbda_ * cost;
      if (cost < least) {
        least = cost;
        best = level;
      }
    }
    levels_[at] = static_cast<uint8_t>(best);
  }

  Strengths s_;
  const float* costs_;
  double lmbda_;
  uint8_t* levels_;
  double bits_[kContexts][2];
};

}  // namespace

std::vector<uint8_t> encode_levels(const Strengths& strengths) {
  std::vector<uint8_t> levels(strengths.levels, strengths.levels + strengths.count());
  Encoder coder;
  Model model;
  code(coder, model, strengths, levels.data());
  return coder.finish();
}

bool decode_levels(const uint8_t* data, size_t size, const Strengths& shape, uint8_t* levels) {
  Decoder coder(data, size);
  Model model;
  code(coder, model, shape, levels);
  return !coder.damaged();
}

void choose_levels(const Strengths& shape, const float* costs, double lmbda, int rounds, uint8_t* levels) {
  Chooser chooser(shape, costs, lmbda, levels);
  for (int i = 0; i < rounds; ++i) chooser.round();
}

}  // namespace splat2d
