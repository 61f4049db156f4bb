#include "model/context.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "math/kernels.hpp"
#include "model/network.hpp"

namespace splat2d {

namespace {

constexpr int64_t kOne = kInputOne;
constexpr int64_t kFarthest = int64_t{1} << 30;  // Q12 px, beyond every root cell: buckets are counted from 0

// sign(x) log2(1 + |x| / one) in Q6.
int64_t signed_log(int64_t x, int64_t one) {
  const int64_t v = log2_q6(one + std::abs(x)) - log2_q6(one);
  return x < 0 ? -v : v;
}

// log2(s1 s2) in Q16 that stands for a tier.
int64_t tier_log_area(int tier) { return static_cast<int64_t>(2 * (kTiers - 2 - tier) + 1) * kTierWidth / 2; }

Direction doubled(const Direction& d) {
  return {(2 * d.sine * d.cosine) >> 15, (d.cosine * d.cosine - d.sine * d.sine) >> 15};
}

// How much, and towards where, a shape is longer than wide: cosine and sine of twice its angle, Q6.
struct Leaning {
  int64_t cosine, sine;
};

Leaning leaning_of(const Direction& twice, int64_t log_aspect) {
  const int64_t elongation = std::min<int64_t>(log_aspect, 2 << 16);
  return {(twice.cosine * elongation) >> 25, (twice.sine * elongation) >> 25};
}

// Points by squares of 2^shift, in index order inside each: those of columns a .. b - 1 of a row are
// order[start(a, row)] .. order[start(b, row) - 1]. `margin` empty squares stand around them.
class Squares {
 public:
  // at: index -> x, y in Q12 px, none negative
  template <class F>
  Squares(int64_t count, int shift, int64_t margin, F at) : order(count), margin_(margin) {
    for (int64_t i = 0; i < count; ++i) {
      const auto [x, y] = at(i);
      across_ = std::max(across_, (x >> shift) + 1);
      down_ = std::max(down_, (y >> shift) + 1);
    }
    stride_ = across_ + 2 * margin;
    start_.assign(static_cast<size_t>(stride_ * (down_ + 2 * margin)) + 1, 0);
    const auto square_of = [&](int64_t i) {
      const auto [x, y] = at(i);
      return index(x >> shift, y >> shift);
    };
    for (int64_t i = 0; i < count; ++i) ++start_[square_of(i) + 1];
    for (size_t s = 1; s < start_.size(); ++s) start_[s] += start_[s - 1];
    std::vector<int32_t> next(start_.begin(), start_.end() - 1);
    for (int64_t i = 0; i < count; ++i) order[next[square_of(i)]++] = static_cast<int32_t>(i);
  }
  int64_t across() const { return across_; }
  int64_t down() const { return down_; }
  int32_t start(int64_t column, int64_t row) const { return start_[index(column, row)]; }

  std::vector<int32_t> order;

 private:
  size_t index(int64_t column, int64_t row) const {
    return static_cast<size_t>((row + margin_) * stride_ + column + margin_);
  }

  int64_t margin_, stride_ = 0, across_ = 0, down_ = 0;
  std::vector<int32_t> start_;
};

}  // namespace

float network_input(int64_t x) { return static_cast<float>(std::clamp<int64_t>(x, -kMostActive, kMostActive)); }

int64_t log2_q6(int64_t x) {
  const int whole = std::bit_width(static_cast<uint64_t>(x)) - 1;
  return kOne * whole + (whole >= 6 ? x >> (whole - 6) : x << (6 - whole)) - kOne;
}

std::vector<int64_t> surroundings(const int64_t* points, size_t n, int tier) {
  std::vector<int64_t> out(4 * n);
  for (int scale = 0; scale < 2; ++scale) {
    const int shift = kPositionBits + 2 + (kTiers - tier) / 2 + 2 * scale;
    const Squares squares(static_cast<int64_t>(n), shift, 1,
                          [&](int64_t i) { return std::pair(points[2 * i], points[2 * i + 1]); });
    const int64_t reach = int64_t{1} << (2 * (shift - 6) - 2);  // (half a square)^2, in (1/64 px)^2
    for (size_t i = 0; i < n; ++i) {
      const int64_t column = points[2 * i] >> shift, row = points[2 * i + 1] >> shift;
      int64_t count = 0, cosine = 0, sine = 0;
      for (int64_t dy = -1; dy <= 1; ++dy) {
        const int32_t begin = squares.start(column - 1, row + dy), end = squares.start(column + 2, row + dy);
        count += end - begin;
        if (scale) continue;
        for (int32_t k = begin; k < end; ++k) {
          const int64_t x = (points[2 * squares.order[k]] - points[2 * i]) >> 6;
          const int64_t y = (points[2 * squares.order[k] + 1] - points[2 * i + 1]) >> 6;
          const int64_t distance = x * x + y * y;
          if (distance == 0) continue;
          const int64_t weight = kOne * reach / (reach + distance);
          cosine += floor_div(weight * (x * x - y * y), distance);
          sine += floor_div(weight * 2 * x * y, distance);
        }
      }
      out[4 * i + scale] = log2_q6(count);
      if (scale) continue;
      out[4 * i + 2] = cosine;
      out[4 * i + 3] = sine;
    }
  }
  return out;
}

Context::Context(Canvas canvas, int channels, int chroma_step, int step_code, const std::array<int64_t, kTiers>& counts)
    : canvas_(canvas),
      channels_(channels),
      steps_(color_steps(channels, chroma_step)),
      counts_(counts),
      log_step_(step_code - kStepBias) {
  int64_t total = 0;
  for (int64_t n : counts) total += n;
  log_spacing_ = log2_q6(static_cast<int64_t>(canvas.width) * canvas.height) - log2_q6(std::max<int64_t>(total, 1));
}

void Context::add(const int32_t* integers, size_t n) {
  const int C = channels_;
  for (size_t i = 0; i < n; ++i) {
    const int32_t* q = integers + (C + 5) * i;
    const int r = energy_class(q, steps_);
    const Lattice l = make_lattice(r, q[C], q[C + 1], q[C + 2]);
    Known k{};
    k.log_area = static_cast<int64_t>(q[C]) * shape_step(r);
    k.log_aspect = static_cast<int64_t>(q[C + 1]) * shape_step(r);
    k.direction = direction_of(q[C + 2], angle_count(r, q[C + 1]));
    k.twice = doubled(k.direction);
    k.inverse_long = exp2_q16(-((k.log_area + k.log_aspect) >> 1));
    k.inverse_short = exp2_q16(-((k.log_area - k.log_aspect) >> 1));
    for (int c = 0; c < C; ++c) {
      k.logs[slot(c)] = signed_log(q[c], 1);
      sums_[slot(c)] += std::abs(k.logs[slot(c)]);
    }
    sums_[4] += k.log_aspect >> 10;
    const int64_t x = l.x(q[C + 4], q[C + 3]), y = l.y(q[C + 3]);
    if (x < 0 || y < 0 || x >= kFarthest || y >= kFarthest) throw std::invalid_argument("a centre is out of range");
    x_.push_back(x);
    y_.push_back(y);
    area_.push_back(exp2_q16(k.log_area));
    known_.push_back(k);
  }
}

void Context::around(const int64_t* points, const int64_t* surroundings, size_t n, int tier, int threads, float* place,
                     float* near) const {
  std::fill_n(place, n * kPlaceInputs, 0.0f);
  std::fill_n(near, n * kNear * kNearInputs, 0.0f);
  const int64_t m = static_cast<int64_t>(known_.size());
  const int64_t spacing =
      log2_q6(static_cast<int64_t>(canvas_.width) * canvas_.height) - log2_q6(std::max<int64_t>(counts_[tier], 1));
  for (size_t p = 0; p < n; ++p) {
    float* out = place + kPlaceInputs * p;
    out[0] = network_input(surroundings[4 * p]);
    out[1] = network_input(surroundings[4 * p + 1]);
    out[2] = network_input(log_step_);
    out[3] = network_input(log_spacing_);
    out[4] = network_input(spacing);
    out[5] = channels_ >= 3 ? kOne : 0;
    out[6] = channels_ % 2 == 0 ? kOne : 0;
    for (int i = 0; i < 5; ++i) out[7 + i] = m ? network_input(sums_[i] / m) : 0;
    out[12] = network_input(log2_q6(1 + m) / 2);
    out[13] = network_input(surroundings[4 * p + 2]);
    out[14] = network_input(surroundings[4 * p + 3]);
  }
  if (m == 0) return;

  // Known splats sorted by bucket, in index order inside each: squares of 64 px, of 32 px for the finer tiers.
  const int bucket = kPositionBits + (tier < kTiers / 2 ? 6 : 5);
  const Squares squares(m, bucket, 0, [&](int64_t i) { return std::pair(x_[i], y_[i]); });
  std::vector<int32_t> xs(m), ys(m), weights(m);
  // Distances count in units of the known splat's size and the tier's together.
  const int64_t own_area = exp2_q16(tier_log_area(tier)), own_log = tier_log_area(tier) / 2;
  const int64_t inverse_own = exp2_q16(-own_log);
  for (int64_t at = 0; at < m; ++at) {
    const int32_t i = squares.order[at];
    xs[at] = static_cast<int32_t>(x_[i]);
    ys[at] = static_cast<int32_t>(y_[i]);
    weights[at] = static_cast<int32_t>((int64_t{1} << 32) / (area_[i] + own_area));
  }
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && n >= kManyRows)
  for (size_t p = 0; p < n; ++p) {
    thread_local std::vector<int32_t> scores;
    const int64_t x = points[2 * p], y = points[2 * p + 1];
    const int64_t left = std::max<int64_t>((x >> bucket) - 1, 0),
                  right = std::min((x >> bucket) + 1, squares.across() - 1);
    if (left > right) continue;
    int64_t best[kNear], chosen[kNear];
    int found = 0;
    // The point's own row first, so that later ones seldom change the list. By score, then by this order.
    const int64_t middle = y >> bucket;
    for (const int64_t row : {middle, middle - 1, middle + 1}) {
      if (row < 0 || row >= squares.down()) continue;
      const int64_t begin = squares.start(left, row), end = squares.start(right + 1, row);
      if (scores.size() < static_cast<size_t>(end - begin)) scores.resize(end - begin);
      kernels().score_neighbours(static_cast<int32_t>(x), static_cast<int32_t>(y), &xs[0] + begin, &ys[0] + begin,
                                 &weights[0] + begin, end - begin, scores.data());
      for (int64_t i = begin; i < end; ++i) {
        const int64_t score = scores[i - begin];
        if (found == kNear && score >= best[kNear - 1]) continue;
        int j = found < kNear ? found++ : kNear - 1;
        for (; j > 0 && score < best[j - 1]; --j) {
          best[j] = best[j - 1];
          chosen[j] = chosen[j - 1];
        }
        best[j] = score;
        chosen[j] = squares.order[i];
      }
    }
    for (int j = 0; j < found; ++j) {
      const Known& k = known_[chosen[j]];
      float* out = near + (kNear * p + j) * kNearInputs;
      const int64_t dx = x_[chosen[j]] - x, dy = y_[chosen[j]] - y;
      const int64_t along = (dx * k.direction.cosine + dy * k.direction.sine) >> 15;
      const int64_t away = (dy * k.direction.cosine - dx * k.direction.sine) >> 15;
      const Leaning leaning = leaning_of(k.twice, k.log_aspect);
      const int64_t closeness = exp2_q16(-(best[j] << 8)) >> 10;
      out[0] = kOne;
      out[1] = network_input(signed_log((dx * inverse_own) >> 22, kOne));
      out[2] = network_input(signed_log((dy * inverse_own) >> 22, kOne));
      out[3] = network_input(((k.log_area >> 1) - own_log) >> 10);
      out[4] = network_input(std::min<int64_t>(k.log_aspect >> 10, 5 * kOne));
      out[5] = network_input(leaning.cosine);
      out[6] = network_input(leaning.sine);
      for (int c = 0; c < 4; ++c) out[7 + c] = network_input(k.logs[c]);
      out[11] = static_cast<float>(closeness);
      out[12] = network_input(log2_q6(kOne + ((std::abs(along) * k.inverse_long) >> 22)) - 6 * kOne);
      out[13] = network_input(log2_q6(kOne + ((std::abs(away) * k.inverse_short) >> 22)) - 6 * kOne);
      // Cosine and sine of twice the direction to the known splat, Q6.
      const int64_t u = dx >> 6, v = dy >> 6;
      // Exact: no quotient below 2^30 comes nearer to the next integer than a double can tell.
      const auto inverse = static_cast<int64_t>(1073741824.0 / static_cast<double>(u * u + v * v + 1));
      const int64_t toward2 = ((u * u - v * v) * inverse) >> 24, across2 = (2 * u * v * inverse) >> 24;
      out[14] = network_input((toward2 * k.twice.cosine + across2 * k.twice.sine) >> 15);
      for (int c = 0; c < 3; ++c) out[15 + c] = network_input((closeness * k.logs[c]) >> 6);
      out[18] = network_input((closeness * leaning.cosine) >> 6);
      out[19] = network_input((closeness * leaning.sine) >> 6);
      out[20] = network_input((closeness * toward2) >> 6);
      out[21] = network_input((closeness * across2) >> 6);
    }
  }
}

std::vector<int64_t> Context::centers() const {
  std::vector<int64_t> out(2 * size());
  for (size_t i = 0; i < size(); ++i) {
    out[2 * i] = x_[i];
    out[2 * i + 1] = y_[i];
  }
  return out;
}

void Context::learn(const int32_t* integers, size_t n, int tier, int known, float* out, int32_t* levels) const {
  const int C = channels_, last = known - 1;
  const int64_t own_log = tier_log_area(tier) / 2;
  for (size_t i = 0; i < n; ++i, out += kSelfInputs) {
    const int32_t* q = integers + (C + 5) * i;
    if (last < C) out[slot(last)] = network_input(signed_log(std::abs(q[last]), 1));
    if (last < C - 1) continue;
    const int r = last < C + 3 ? energy_class(q, steps_) : 0;
    if (last == C - 1) {
      levels[i] = std::clamp(r + 2, 1, kLevels - 1);
    } else if (last == C) {
      out[4] = network_input((((static_cast<int64_t>(q[C]) * shape_step(r)) >> 1) - own_log) >> 10);
    } else if (last == C + 1) {
      out[5] = network_input(std::min<int64_t>((static_cast<int64_t>(q[C + 1]) * shape_step(r)) >> 10, 6 * kOne));
    } else if (last == C + 2) {
      const Leaning leaning = leaning_of(doubled(direction_of(q[C + 2], angle_count(r, q[C + 1]))),
                                         static_cast<int64_t>(q[C + 1]) * shape_step(r));
      out[6] = network_input(leaning.cosine);
      out[7] = network_input(leaning.sine);
    } else if (const int c = last - C - 3; c < 3) {
      out[8 + c] = q[c] < 0 ? -kOne : q[c] > 0 ? kOne : 0;
    }
  }
}

}  // namespace splat2d
