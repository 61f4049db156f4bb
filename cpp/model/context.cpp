#include "model/context.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <utility>

#include "model/network.hpp"
#include "model/squares.hpp"

namespace splat2d {

namespace {

constexpr int64_t kOne = kInputOne;
constexpr size_t kPart = 64;  // leaves that a worker takes at a time

// log2(s1 s2) in Q16 that stands for a tier.
int64_t tier_log_area(int tier) { return static_cast<int64_t>(2 * (kTiers - 2 - tier) + 1) * kTierWidth / 2; }

Direction doubled(const Direction& d) {
  return {(2 * d.sine * d.cosine) >> 15, (d.cosine * d.cosine - d.sine * d.sine) >> 15};
}

// How much, and towards where, a shape is longer than wide: cosine and sine of twice its angle, Q6.
void lean(const Direction& twice, int64_t log_aspect, int32_t* cosine, int32_t* sine) {
  const int64_t elongation = std::min<int64_t>(log_aspect, 2 << 16);
  *cosine = static_cast<int32_t>((twice.cosine * elongation) >> 25);
  *sine = static_cast<int32_t>((twice.sine * elongation) >> 25);
}

int square_shift(int tier) { return kPositionBits + 2 + (kTiers - tier) / 2; }

// What a splat so far away counts in the sums of Surroundings, by the leaves between; they are few in the squares.
class Directions {
 public:
  Directions(LeafSize size, int tier)
      : wide_(std::countr_zero(static_cast<uint64_t>(size.width))),
        high_(std::countr_zero(static_cast<uint64_t>(size.height))) {
    const int shift = square_shift(tier);
    const int64_t side = int64_t{1} << shift, reach = int64_t{1} << (2 * (shift - 6) - 2);
    across_ = static_cast<int>(2 * side / size.width);
    down_ = static_cast<int>(2 * side / size.height);
    stride_ = 2 * across_ + 1;
    sums_.resize(static_cast<size_t>(stride_) * (2 * down_ + 1));
    for (int j = -down_; j <= down_; ++j)
      for (int i = -across_; i <= across_; ++i) {
        const int64_t x = (i * size.width) >> 6, y = (j * size.height) >> 6, distance = x * x + y * y;
        if (distance == 0) continue;
        const int64_t weight = kOne * reach / (reach + distance);
        sums_[at(i, j)] = {floor_div(weight * (x * x - y * y), distance), floor_div(weight * 2 * x * y, distance)};
      }
  }
  const std::pair<int64_t, int64_t>& of(int64_t dx, int64_t dy) const {
    return sums_[at(static_cast<int>(dx >> wide_), static_cast<int>(dy >> high_))];
  }

 private:
  size_t at(int i, int j) const { return static_cast<size_t>((j + down_) * stride_ + i + across_); }

  int wide_, high_;  // log2 of the leaves' sides
  int across_, down_, stride_;
  std::vector<std::pair<int64_t, int64_t>> sums_;
};

}  // namespace

int64_t signed_log(int64_t x, int64_t one) {
  const int64_t v = log2_q6(one + std::abs(x)) - log2_q6(one);
  return x < 0 ? -v : v;
}

std::vector<Surroundings> surroundings(const std::vector<Leaf>& leaves, LeafSize size, int tier,
                                       const Workers& workers) {
  std::vector<Surroundings> out(leaves.size());
  const Directions directions(size, tier);
  for (int scale = 0; scale < 2; ++scale) {
    const int shift = square_shift(tier) + 2 * scale;
    const Squares squares(static_cast<int64_t>(leaves.size()), shift, 0,
                          [&](int64_t i) { return std::pair(leaves[i].x, leaves[i].y); });
    std::vector<int32_t> before(leaves.size() + 1, 0);  // splats of the leaves before, in the squares' order
    for (size_t k = 0; k < leaves.size(); ++k) before[k + 1] = before[k] + leaves[squares.order[k]].count;
    const auto look_around = [&](size_t i) {
      const Leaf& own = leaves[i];
      const int64_t column = own.x >> shift, row = own.y >> shift;
      int64_t count = 0, cosine = 0, sine = 0;
      for (int64_t dy = -1; dy <= 1; ++dy) {
        const int32_t begin = squares.start(column - 1, row + dy), end = squares.start(column + 2, row + dy);
        count += before[end] - before[begin];
        if (scale) continue;
        for (int32_t k = begin; k < end; ++k) {
          const Leaf& other = leaves[squares.order[k]];
          const auto& [along, across] = directions.of(other.x - own.x, other.y - own.y);
          cosine += other.count * along;
          sine += other.count * across;
        }
      }
      (scale ? out[i].many : out[i].few) = log2_q6(count);
      if (scale) return;
      out[i].cosine = cosine;
      out[i].sine = sine;
    };
    workers.parts(leaves.size(), 2 * kPart, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) look_around(i);
    });
  }
  return out;
}

Context::Context(int64_t pixels, int frames, const ColorSteps& steps, int step_code,
                 const std::array<int64_t, kTiers>& counts)
    : pixels_(pixels), frames_(frames), steps_(steps), step_code_(step_code), counts_(counts) {
  int64_t total = 0;
  for (int64_t n : counts) total += n;
  log_spacing_ = log2_q6(pixels) - log2_q6(std::max<int64_t>(total, 1));
}

void Context::add(const std::vector<int32_t*>& integers, const std::vector<Form>& forms, int tier,
                  const Workers& workers) {
  const size_t before = known_.size(), n = integers.size();
  known_.resize(before + n);
  workers.parts(n, 2 * kPart, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) known_[before + i] = known_of(integers[i], forms[i], tier);
  });
  for (size_t i = before; i < known_.size(); ++i) sum(known_[i]);
}

Context::Known Context::known_of(const int32_t* q, const Form& form, int tier) const {
  const int C = steps_.channels, r = form.energy_class;
  const Lattice& l = form.lattice;
  const int64_t log_area = static_cast<int64_t>(q[C]) * shape_step(r);
  const int64_t log_aspect = static_cast<int64_t>(q[C + 1]) * shape_step(r);
  Known k{};
  k.x = static_cast<int32_t>(l.x(q[C + 4], q[C + 3]));
  k.y = static_cast<int32_t>(l.y(q[C + 3]));
  k.log_size = static_cast<int32_t>(log_area >> 1);
  k.log_aspect = static_cast<int32_t>(log_aspect >> 10);
  k.area = exp2_q16(log_area);
  const Direction twice = doubled(form.direction);
  k.cosine = static_cast<int32_t>(form.direction.cosine);
  k.sine = static_cast<int32_t>(form.direction.sine);
  k.twice_cosine = static_cast<int32_t>(twice.cosine);
  k.twice_sine = static_cast<int32_t>(twice.sine);
  int32_t lean_cosine, lean_sine;
  lean(twice, log_aspect, &lean_cosine, &lean_sine);
  int16_t* fixed = k.fixed.value;
  fixed[Fixed::kAspect] = static_cast<int16_t>(std::min<int64_t>(k.log_aspect, 5 * kOne));
  fixed[Fixed::kLeanCosine] = static_cast<int16_t>(lean_cosine);
  fixed[Fixed::kLeanSine] = static_cast<int16_t>(lean_sine);
  k.inverse_long = static_cast<int32_t>(exp2_q16(-((log_area + log_aspect) >> 1)));
  k.inverse_short = static_cast<int32_t>(exp2_q16(-((log_area - log_aspect) >> 1)));
  for (int c = 0; c < C; ++c) fixed[Fixed::kLogs + slot(c)] = static_cast<int16_t>(signed_log(q[c], 1));
  k.tier = tier;
  return k;
}

void Context::sum(const Known& k) {
  for (int c = 0; c < kMaxChannels; ++c) sums_[c] += std::abs(k.fixed.value[Fixed::kLogs + c]);
  sums_[4] += k.log_aspect;
}

Context Context::of(const std::vector<int32_t>& known) const {
  Context out(pixels_, frames_, steps_, step_code_, counts_);
  out.known_.reserve(known.size());
  for (const int32_t i : known) {
    out.known_.push_back(known_[i]);
    out.sum(known_[i]);
  }
  return out;
}

View::View(const Context& context, LeafSize size, int tier)
    : context_(context),
      size_(size),
      log_size_(tier_log_area(tier) / 2),
      inverse_size_(exp2_q16(-log_size_)),
      shift_(kPositionBits + (tier < kTiers / 2 ? 6 : 5)),
      buckets_(static_cast<int64_t>(context.known_.size()), shift_, Context::kMostInBucket,
               [&](int64_t i) { return std::pair<int64_t, int64_t>(context.known_[i].x, context.known_[i].y); }),
      xs_(buckets_.order.size() + 15),
      ys_(xs_.size()),
      weights_(xs_.size()) {
  const int64_t m = static_cast<int64_t>(context.known_.size());
  shared_[2] = network_input(context.step_code_ - kStepBias);
  shared_[3] = network_input(context.log_spacing_);
  shared_[4] = network_input(log2_q6(context.pixels_) - log2_q6(std::max<int64_t>(context.counts_[tier], 1)));
  // The chroma step tells what the encoder looked at, too.
  shared_[5] = static_cast<int16_t>(context.steps_.channels >= 3 ? 16 * context.steps_.weight[1] - 96 : 0);
  shared_[6] = context.steps_.channels % 2 == 0 ? kOne : 0;
  for (int i = 0; i < 5; ++i) shared_[7 + i] = m ? network_input(context.sums_[i] / m) : int16_t{0};
  shared_[12] = network_input(log2_q6(1 + m) / 2);
  shared_[15] = network_input(log2_q6(1 + context.frames_));
  // Distances count in units of the known splat's size and the tier's together.
  const int64_t own_area = exp2_q16(tier_log_area(tier));
  for (size_t at = 0; at < buckets_.order.size(); ++at) {
    const Context::Known& k = context.known_[buckets_.order[at]];
    xs_[at] = k.x;
    ys_[at] = k.y;
    weights_[at] = static_cast<int32_t>((int64_t{1} << 32) / (k.area + own_area));
  }
}

int View::look(const Leaf& leaf, const Surroundings& around, Nearest* nearest, int16_t* place, int16_t* near) const {
  std::copy_n(shared_, Context::kPlaceInputs, place);
  std::fill(place + Context::kPlaceInputs, place + Network::kPlaceStride, int16_t{0});
  place[0] = network_input(around.few);
  place[1] = network_input(around.many);
  place[13] = network_input(around.cosine);
  place[14] = network_input(around.sine);
  const int64_t x = leaf.x + size_.width / 2, y = leaf.y + size_.height / 2;
  const int64_t column = x >> shift_, row = y >> shift_;
  PointRange ranges[3];
  int count = 0;
  for (const int64_t r : {row, row - 1, row + 1}) {
    const PointRange range{buckets_.start(column - 1, r), buckets_.start(column + 2, r)};
    if (range.begin < range.end) ranges[count++] = range;
  }
  const Points points{xs_.data(), ys_.data(), weights_.data()};
  const auto search = [&](int32_t limit) {
    model_kernels().find_nearest(static_cast<int32_t>(x), static_cast<int32_t>(y), points, ranges, count, limit,
                                 nearest);
  };
  // The eight that were nearest to the leaf before are no farther than the eighth, if they are looked at.
  int32_t limit = INT32_MAX;
  if (nearest->count == Nearest::kMost) {
    limit = 0;
    for (const int32_t at : nearest->at) {
      const int64_t dx = (xs_[at] - x) >> 8, dy = (ys_[at] - y) >> 8;
      const int64_t score = ((dx * dx + dy * dy) * weights_[at]) >> 16;
      limit = static_cast<int32_t>(std::clamp<int64_t>(score + 1, limit, INT32_MAX));
    }
  }
  search(limit);
  if (limit < INT32_MAX && nearest->count < Nearest::kMost) search(INT32_MAX);
  NearFields f{};
  for (int j = 0; j < nearest->count; ++j) {
    const Context::Known& k = context_.known_[buckets_.order[nearest->at[j]]];
    f.dx[j] = static_cast<int32_t>(k.x - x);
    f.dy[j] = static_cast<int32_t>(k.y - y);
    f.log_size[j] = k.log_size;
    f.fixed[j] = k.fixed;
    f.cosine[j] = k.cosine;
    f.sine[j] = k.sine;
    f.twice_cosine[j] = k.twice_cosine;
    f.twice_sine[j] = k.twice_sine;
    f.inverse_long[j] = k.inverse_long;
    f.inverse_short[j] = k.inverse_short;
    f.closeness[j] = static_cast<int32_t>(exp2_q16(-(int64_t{nearest->score[j]} << 8)) >> 10);
  }
  model_kernels().describe_near(f, nearest->count, log_size_, inverse_size_, near);
  return nearest->count;
}

void Context::learn_magnitude(int channel, int64_t magnitude, int16_t* self) const {
  self[slot(channel)] = network_input(signed_log(magnitude, 1));
}

void Context::learn_area(int energy_class, int area, int tier, int16_t* self) const {
  const int64_t log_area = static_cast<int64_t>(area) * shape_step(energy_class);
  self[4] = network_input(((log_area >> 1) - tier_log_area(tier) / 2) >> 10);
}

void Context::learn_aspect(int energy_class, int aspect, int16_t* self) const {
  const int64_t log_aspect = static_cast<int64_t>(aspect) * shape_step(energy_class);
  self[5] = network_input(std::min<int64_t>(log_aspect >> 10, 6 * kOne));
}

void Context::learn_angle(int energy_class, int aspect, const Direction& direction, int16_t* self) const {
  int32_t cosine, sine;
  lean(doubled(direction), static_cast<int64_t>(aspect) * shape_step(energy_class), &cosine, &sine);
  self[6] = network_input(cosine);
  self[7] = network_input(sine);
}

void Context::learn_sign(int channel, int64_t value, int16_t* self) const {
  if (channel < 3) self[8 + channel] = static_cast<int16_t>(value < 0 ? -kOne : value > 0 ? kOne : 0);
}

}  // namespace splat2d
