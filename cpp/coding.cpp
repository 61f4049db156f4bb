#include "coding.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <stdexcept>

#include "kernels.hpp"
#include "quantizer.hpp"

namespace splat2d {

namespace {

constexpr int64_t kInsideWeight = 31;    // extra weight of the canvas over its margin
constexpr int64_t kAreaEvidence = 1024;  // weight of a cell's area against
constexpr int64_t kSplatEvidence = 64;   // the weight of one earlier splat
constexpr int64_t kConcentration[kTiers] = {16384, 4096, 2048, 1024, 1024, 1024};  // in 1/256
constexpr int64_t kLargestTable = 256;  // cells of more splats code their split uniformly
constexpr int64_t kAlphaMin = 8;

// Side of the root cell in px: the least power of two that holds a canvas side and both margins.
int64_t root_size(int side) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(side + 2 * kMargin))); }

}  // namespace

void normalise(const int64_t* weights, int symbols, double* out) {
  const int64_t sum = std::accumulate(weights, weights + symbols, int64_t{0});
  int64_t used = 0;
  int largest = 0;
  for (int i = 0; i < symbols; ++i) {
    const int64_t w = weights[i] * (kTotal - symbols) / sum;
    used += w + 1;
    if (weights[i] > weights[largest]) largest = i;
    out[i] = static_cast<double>(w);
  }
  out[largest] += static_cast<double>(kTotal - used);
}

Table::Table(std::vector<int64_t> prior, int contexts, int symbols, int fine, int strength)
    : contexts_(contexts),
      symbols_(symbols),
      fine_(fine),
      strength_(strength),
      coarse_(std::move(prior)),
      counts_(static_cast<size_t>(contexts) * fine * symbols, 0),
      coarse_totals_(contexts),
      totals_(static_cast<size_t>(contexts) * fine, 0) {
  for (int c = 0; c < contexts; ++c)
    coarse_totals_[c] = std::accumulate(coarse_.begin() + static_cast<long>(c) * symbols,
                                        coarse_.begin() + static_cast<long>(c + 1) * symbols, int64_t{0});
}

void Table::row(int coarse, int fine, double* out) const {
  const int64_t* rows = &coarse_[static_cast<size_t>(coarse) * symbols_];
  if (fine < 0) return normalise(rows, symbols_, out);
  const int64_t* counts = &counts_[(static_cast<size_t>(coarse) * fine_ + fine) * symbols_];
  int64_t mixed[64];
  for (int i = 0; i < symbols_; ++i)
    mixed[i] = counts[i] * kUnit + strength_ * (rows[i] * kUnit / coarse_totals_[coarse] + 1);
  normalise(mixed, symbols_, out);
}

void Table::update(int coarse, int fine, int symbol) {
  coarse_[static_cast<size_t>(coarse) * symbols_ + symbol] += kCount;
  coarse_totals_[coarse] += kCount;
  if (fine < 0) return;
  int64_t& count = counts_[(static_cast<size_t>(coarse) * fine_ + fine) * symbols_ + symbol];
  if (++count > kMostCounted) throw std::invalid_argument("one symbol is coded too often in one context");
}

SplitTree::SplitTree(int width, int height, int tier, int64_t count, const int64_t* earlier, size_t earlier_count,
                     const int64_t* positions)
    : width_(width),
      height_(height),
      tier_(tier),
      leaf_area_(static_cast<int64_t>(1) << (kLeafLog2[tier] + 2 * kPositionBits)),
      cell_width_(root_size(width) << kPositionBits),
      cell_height_(root_size(height) << kPositionBits),
      encoding_(positions != nullptr),
      x_{0},
      y_{0},
      counts_{count},
      earlier_(earlier, earlier + 2 * earlier_count),
      earlier_cell_(earlier_count, 0) {
  if (encoding_) {
    positions_.assign(positions, positions + 2 * count);
    member_.assign(count, 0);
  }
}

// Area in (1/16 px)^2; the margin's is divided by kInsideWeight + 1.
int64_t SplitTree::area_weight(int64_t x, int64_t y) const {
  const auto overlap = [](int64_t start, int64_t size, int64_t low, int64_t high) {
    return std::max<int64_t>(std::min(start + size, high << kPositionBits) - std::max(start, low << kPositionBits),
                             0) >>
           8;
  };
  return kInsideWeight * overlap(x, cell_width_, kMargin, kMargin + width_) *
             overlap(y, cell_height_, kMargin, kMargin + height_) +
         overlap(x, cell_width_, 0, width_ + 2 * kMargin) * overlap(y, cell_height_, 0, height_ + 2 * kMargin);
}

bool SplitTree::next_level() {
  if (cell_width_ * cell_height_ <= leaf_area_) return false;
  along_x_ = cell_width_ >= cell_height_;
  (along_x_ ? cell_width_ : cell_height_) /= 2;
  const size_t cells = counts_.size();
  const int64_t half = along_x_ ? cell_width_ : cell_height_;
  const int axis = along_x_ ? 0 : 1;
  const auto edge = [&](int cell) { return (along_x_ ? x_[cell] : y_[cell]) + half; };

  std::vector<int64_t> seen(2 * cells, 0);
  for (size_t i = 0; i < earlier_cell_.size(); ++i)
    if (const int cell = earlier_cell_[i]; cell >= 0) ++seen[2 * cell + (earlier_[2 * i + axis] >= edge(cell))];
  given_.assign(cells, 0);
  for (size_t i = 0; i < member_.size(); ++i) given_[member_[i]] += positions_[2 * i + axis] < edge(member_[i]);

  first_.assign(cells, 0);
  alpha_.assign(cells, 0);
  groups_.clear();
  std::vector<int> by_size[10];  // of 1, 2-3, ... 128-255, 256, more
  for (size_t c = 0; c < cells; ++c) {
    const int64_t w1 = area_weight(x_[c], y_[c]);
    const int64_t w2 = area_weight(x_[c] + (along_x_ ? half : 0), y_[c] + (along_x_ ? 0 : half));
    if (w1 == 0 || w2 == 0) {
      first_[c] = w2 == 0 ? counts_[c] : 0;
      continue;
    }
    const int64_t e1 = std::max<int64_t>(kAreaEvidence * w1 / (w1 + w2) + kSplatEvidence * seen[2 * c], 1);
    const int64_t e2 = std::max<int64_t>(kAreaEvidence * w2 / (w1 + w2) + kSplatEvidence * seen[2 * c + 1], 1);
    alpha_[c] = std::clamp(kConcentration[tier_] * e1 / (e1 + e2), kAlphaMin, kConcentration[tier_] - kAlphaMin);
    const int size = counts_[c] > kLargestTable ? 9 : std::bit_width(static_cast<uint64_t>(counts_[c])) - 1;
    by_size[size].push_back(static_cast<int>(c));
  }
  for (int s = 0; s < 10; ++s)
    if (!by_size[s].empty())
      groups_.push_back(
          {s == 9 ? 0 : static_cast<int>(std::min<int64_t>(2LL << s, kLargestTable + 1)), std::move(by_size[s])});
  return true;
}

// Beta-binomial weights of 0 .. count, by integer recurrences outwards from the mode; zeros beyond.
void SplitTree::row(int cell, int symbols, double* out) const {
  const int64_t n = counts_[cell], alpha = alpha_[cell], beta = kConcentration[tier_] - alpha;
  int64_t f[kLargestTable + 1];
  std::fill_n(f, symbols, int64_t{0});
  const int64_t mode = n * alpha / (alpha + beta);
  constexpr int64_t kPeak = int64_t{1} << 32, kLimit = int64_t{1} << 36;
  f[mode] = kPeak;
  for (int64_t k = mode; k < n; ++k)
    f[k + 1] = std::min(f[k] * ((n - k) * (256 * k + alpha)) / ((k + 1) * (256 * (n - k - 1) + beta)), kLimit);
  for (int64_t k = mode; k > 0; --k)
    f[k - 1] = std::min(f[k] * (k * (256 * (n - k) + beta)) / ((n - k + 1) * (256 * (k - 1) + alpha)), kLimit);
  // Below 2^37 each and at most 257 of them: halve until the product with 2^24 fits.
  for (int i = 0; i < symbols; ++i) f[i] >>= 4;
  normalise(f, symbols, out);
}

bool SplitTree::set(int cell, int64_t first) {
  if (first < 0 || first > counts_[cell]) return false;
  first_[cell] = first;
  return true;
}

void SplitTree::finish_level() {
  const size_t cells = counts_.size();
  const int axis = along_x_ ? 0 : 1;
  const int64_t half = along_x_ ? cell_width_ : cell_height_;
  std::vector<int64_t> x, y, counts;
  std::vector<int> index(2 * cells, -1);
  for (size_t c = 0; c < cells; ++c)
    for (int h = 0; h < 2; ++h) {
      const int64_t n = h == 0 ? first_[c] : counts_[c] - first_[c];
      if (n == 0) continue;
      index[2 * c + h] = static_cast<int>(counts.size());
      x.push_back(x_[c] + (along_x_ ? h * half : 0));
      y.push_back(y_[c] + (along_x_ ? 0 : h * half));
      counts.push_back(n);
    }
  const auto child = [&](int cell, int64_t coordinate) {
    return index[2 * cell + (coordinate >= (along_x_ ? x_[cell] : y_[cell]) + half)];
  };
  for (size_t i = 0; i < earlier_cell_.size(); ++i)
    if (earlier_cell_[i] >= 0) earlier_cell_[i] = child(earlier_cell_[i], earlier_[2 * i + axis]);
  for (size_t i = 0; i < member_.size(); ++i) member_[i] = child(member_[i], positions_[2 * i + axis]);
  x_ = std::move(x);
  y_ = std::move(y);
  counts_ = std::move(counts);
}

void SplitTree::leaves(std::vector<int64_t>* corners, std::vector<int64_t>* order) const {
  corners->clear();
  for (size_t c = 0; c < counts_.size(); ++c)
    for (int64_t i = 0; i < counts_[c]; ++i) {
      corners->push_back(x_[c]);
      corners->push_back(y_[c]);
    }
  order->resize(member_.size());
  std::iota(order->begin(), order->end(), 0);
  std::stable_sort(order->begin(), order->end(), [&](int64_t a, int64_t b) { return member_[a] < member_[b]; });
}

Neighbours find_neighbours(const int64_t* points, size_t count, int tier, const int64_t* known,
                           const int64_t* log_areas, size_t known_count) {
  constexpr int kBucket = 6 + kPositionBits;
  // The squared distance in (1/16 px)^2 over sqrt(s1 s2) of the known splat, and over a typical sqrt(s1 s2) of the
  // tier, classified at 1, 4 and 16.
  const int64_t own = exp2_q16(-static_cast<int64_t>(2 * (kTiers - 2 - tier) + 1) * kTierWidth / 4);
  Neighbours out{std::vector<int64_t>(count, -1), std::vector<int64_t>(count, 3)};
  if (known_count == 0) return out;
  int64_t across = 0, down = 0;
  for (size_t i = 0; i < known_count; ++i) {
    across = std::max(across, (known[2 * i] >> kBucket) + 1);
    down = std::max(down, (known[2 * i + 1] >> kBucket) + 1);
  }
  // Known splats sorted by bucket, in index order inside each.
  std::vector<size_t> start(static_cast<size_t>(across * down) + 1, 0);
  const auto bucket_of = [&](size_t i) {
    return static_cast<size_t>((known[2 * i + 1] >> kBucket) * across + (known[2 * i] >> kBucket));
  };
  for (size_t i = 0; i < known_count; ++i) ++start[bucket_of(i) + 1];
  for (size_t b = 1; b < start.size(); ++b) start[b] += start[b - 1];
  std::vector<size_t> next(start.begin(), start.end() - 1);
  std::vector<int64_t> indices(known_count), xs(known_count), ys(known_count), weights(known_count),
      scores(known_count);
  for (size_t i = 0; i < known_count; ++i) {
    const size_t at = next[bucket_of(i)]++;
    indices[at] = static_cast<int64_t>(i);
    xs[at] = known[2 * i];
    ys[at] = known[2 * i + 1];
    weights[at] = exp2_q16(-(log_areas[i] >> 1));
  }
  for (size_t p = 0; p < count; ++p) {
    const int64_t x = points[2 * p], y = points[2 * p + 1];
    const int64_t left = std::max<int64_t>((x >> kBucket) - 1, 0), right = std::min((x >> kBucket) + 1, across - 1);
    int64_t best = INT64_MAX, index = -1;
    for (int64_t row = std::max<int64_t>((y >> kBucket) - 1, 0); row <= std::min((y >> kBucket) + 1, down - 1); ++row) {
      if (left > right) break;
      const size_t begin = start[row * across + left], end = start[row * across + right + 1];
      kernels().score_neighbours(x, y, &xs[0] + begin, &ys[0] + begin, &weights[0] + begin, end - begin, scores.data());
      for (size_t i = begin; i < end; ++i) {
        const int64_t score = scores[i - begin];
        if (score < best || (score == best && indices[i] < index)) {
          best = score;
          index = indices[i];
        }
      }
    }
    if (index < 0) continue;
    out.index[p] = index;
    const int64_t m = (best * own) >> 16;  // in 1/256
    out.distance[p] = m < 256 ? 0 : m < 1024 ? 1 : m < 4096 ? 2 : 3;
  }
  return out;
}

}  // namespace splat2d
