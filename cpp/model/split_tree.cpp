#include "model/split_tree.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <stdexcept>

#include "format/quantizer.hpp"
#include "math/kernels.hpp"
#include "model/context.hpp"

namespace splat2d {

namespace {

constexpr int64_t kInsideWeight = 31;   // extra weight of the canvas over its margin
constexpr int64_t kLargestTable = 255;  // cells of more splats code their split uniformly
// Most splats of the cells of each group.
constexpr int64_t kGroups[] = {1, 3, 15, kLargestTable, INT64_MAX};

// Side of the root cell in px: the least power of two that holds a canvas side and both margins.
int64_t root_size(int side) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(side + 2 * kMargin))); }

}  // namespace

SplitTree::SplitTree(const Layout& layout, const int64_t* earlier, size_t earlier_count, const int64_t* positions)
    : layout_(layout),
      leaf_area_(static_cast<int64_t>(1) << (leaf_log2(layout.tier) + 2 * kPositionBits)),
      cell_width_(root_size(layout.canvas.width) << kPositionBits),
      cell_height_(root_size(layout.canvas.height) << kPositionBits),
      encoding_(positions != nullptr),
      x_{0},
      y_{0},
      counts_{layout.count},
      beside_{{-1, -1, -1, -1}},
      earlier_(earlier, earlier + 2 * earlier_count),
      earlier_cell_(earlier_count, 0) {
  if (encoding_) {
    positions_.assign(positions, positions + 2 * layout.count);
    member_.assign(layout.count, 0);
  }
}

// Area in (1/16 px)^2; the margin's is divided by kInsideWeight + 1.
int64_t SplitTree::area_weight(int64_t x, int64_t y) const {
  const auto overlap = [](int64_t start, int64_t size, int64_t low, int64_t high) {
    return std::max<int64_t>(std::min(start + size, high << kPositionBits) - std::max(start, low << kPositionBits),
                             0) >>
           8;
  };
  return kInsideWeight * overlap(x, cell_width_, kMargin, kMargin + layout_.canvas.width) *
             overlap(y, cell_height_, kMargin, kMargin + layout_.canvas.height) +
         overlap(x, cell_width_, 0, layout_.canvas.width + 2 * kMargin) *
             overlap(y, cell_height_, 0, layout_.canvas.height + 2 * kMargin);
}

bool SplitTree::next_level(const Network& network, int threads) {
  if (cell_width_ * cell_height_ <= leaf_area_) return false;
  along_x_ = cell_width_ >= cell_height_;
  (along_x_ ? cell_width_ : cell_height_) /= 2;
  const size_t cells = counts_.size();
  const int64_t half = along_x_ ? cell_width_ : cell_height_;
  const int axis = along_x_ ? 0 : 1;
  const auto edge = [&](int cell) { return (along_x_ ? x_[cell] : y_[cell]) + half; };

  // Earlier splats in each half: all of them, and those of the tier before.
  std::vector<int64_t> seen(2 * cells, 0), last(2 * cells, 0);
  const size_t recent = earlier_cell_.size() - layout_.previous;
  for (size_t i = 0; i < earlier_cell_.size(); ++i) {
    const int cell = earlier_cell_[i];
    if (cell < 0) continue;
    const size_t h = 2 * static_cast<size_t>(cell) + (earlier_[2 * i + axis] >= edge(cell));
    ++seen[h];
    last[h] += i >= recent;
  }
  given_.assign(cells, 0);
  for (size_t i = 0; i < member_.size(); ++i) given_[member_[i]] += positions_[2 * i + axis] < edge(member_[i]);

  first_.assign(cells, 0);
  alpha_.assign(cells, 0);
  beta_.assign(cells, 0);
  inputs_.assign(cells * kInputs, 0.0f);
  const int64_t pixels = static_cast<int64_t>(layout_.canvas.width) * layout_.canvas.height;
  const int64_t size = log2_q6((2 * cell_width_ * cell_height_) >> (2 * kPositionBits)) / 2;
  const std::array<int, 4> order = along_x_ ? std::array<int, 4>{0, 1, 2, 3} : std::array<int, 4>{2, 3, 0, 1};
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && cells >= kManyRows)
  for (size_t c = 0; c < cells; ++c) {
    const int64_t w1 = area_weight(x_[c], y_[c]);
    const int64_t w2 = area_weight(x_[c] + (along_x_ ? half : 0), y_[c] + (along_x_ ? 0 : half));
    if (w1 == 0 || w2 == 0) {
      first_[c] = w2 == 0 ? counts_[c] : 0;
      continue;
    }
    float* in = &inputs_[c * kInputs];
    const auto put = [&](int64_t value) { *in++ = network_input(value); };
    const auto& beside = beside_[c];
    const int before = beside[order[0]], after = beside[order[1]];
    const auto count = [&](int cell) { return cell < 0 ? 0 : counts_[cell]; };
    put(log2_q6(1 + counts_[c]));
    put(log2_q6(1 + seen[2 * c]));
    put(log2_q6(1 + seen[2 * c + 1]));
    put(log2_q6(1 + last[2 * c]));
    put(log2_q6(1 + last[2 * c + 1]));
    put(log2_q6(1 + count(before)));
    put(log2_q6(1 + count(after)));
    put(log2_q6(1 + count(beside[order[2]]) + count(beside[order[3]])));
    put(before < 0 ? 0 : log2_q6(1 + seen[2 * before + 1]));
    put(after < 0 ? 0 : log2_q6(1 + seen[2 * after]));
    put(std::max<int64_t>(log2_q6(w1) - log2_q6(w1 + w2), -384));
    put(std::max<int64_t>(log2_q6(w2) - log2_q6(w1 + w2), -384));
    put(size);
    put(along_x_ ? 0 : kInputOne);
    put((log2_q6(pixels) - log2_q6(layout_.total)) / 2);
    put((log2_q6(pixels) - log2_q6(layout_.count)) / 2);
    put(layout_.step_code - kStepBias);
  }
  network.split(inputs_.data(), cells, layout_.tier, threads, alpha_.data(), beta_.data());

  groups_.clear();
  for (size_t g = 0; g < std::size(kGroups); ++g) {
    const int64_t least = g ? kGroups[g - 1] + 1 : 1, most = kGroups[g];
    std::vector<int> members;
    for (size_t c = 0; c < cells; ++c)
      if (inputs_[c * kInputs] != 0 && counts_[c] >= least && counts_[c] <= most)  // no input: one half lies outside
        members.push_back(static_cast<int>(c));
    const bool table = most <= kLargestTable;
    if (!members.empty()) groups_.push_back({table ? static_cast<int>(most) + 1 : 0, std::move(members)});
  }
  return true;
}

// Beta-binomial weights of 0 .. count, by integer recurrences outwards from the mode; zeros beyond.
void SplitTree::row(int cell, int symbols, double* out) const {
  const int64_t n = counts_[cell], alpha = alpha_[cell], beta = beta_[cell];
  int64_t f[kLargestTable + 1];
  std::fill_n(f, symbols, int64_t{0});
  const int64_t mode = n * alpha / (alpha + beta);
  constexpr int64_t kPeak = int64_t{1} << 32, kLimit = int64_t{1} << 36;
  f[mode] = kPeak;
  for (int64_t k = mode; k < n; ++k)
    f[k + 1] = std::min(f[k] * ((n - k) * (256 * k + alpha)) / ((k + 1) * (256 * (n - k - 1) + beta)), kLimit);
  for (int64_t k = mode; k > 0; --k)
    f[k - 1] = std::min(f[k] * (k * (256 * (n - k) + beta)) / ((n - k + 1) * (256 * (k - 1) + alpha)), kLimit);
  // Below 2^37 each: products with 2^24 must stay below 2^53.
  int32_t weights[kLargestTable + 1];
  for (int i = 0; i < symbols; ++i) weights[i] = static_cast<int32_t>(f[i] >> 8);
  kernels().normalise(weights, symbols, out);
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
  std::vector<int> index(2 * cells, -1);  // of each half among the new cells
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
  // A half lies beside its sibling, and beside halves of the cells beside its parent.
  const auto half_of = [&](int cell, int h) { return cell < 0 ? -1 : index[2 * cell + h]; };
  std::vector<std::array<int, 4>> beside(counts.size());
  const int before = along_x_ ? 0 : 2, across = along_x_ ? 2 : 0;
  for (size_t c = 0; c < cells; ++c)
    for (int h = 0; h < 2; ++h) {
      if (index[2 * c + h] < 0) continue;
      auto& b = beside[index[2 * c + h]];
      b[before] = h == 0 ? half_of(beside_[c][before], 1) : index[2 * c];
      b[before + 1] = h == 0 ? index[2 * c + 1] : half_of(beside_[c][before + 1], 0);
      b[across] = half_of(beside_[c][across], h);
      b[across + 1] = half_of(beside_[c][across + 1], h);
    }
  beside_ = std::move(beside);
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

}  // namespace splat2d
