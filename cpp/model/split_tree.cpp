#include "model/split_tree.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "model/network.hpp"

namespace splat2d {

namespace {

// log2(1 + n) in Q6 as the network takes it; most n are small.
constexpr int kLogs = 1024;
constexpr std::array<int16_t, kLogs> make_logs() {
  std::array<int16_t, kLogs> out{};
  for (int n = 0; n < kLogs; ++n) out[n] = static_cast<int16_t>(log2_q6(1 + n));
  return out;
}
constexpr std::array<int16_t, kLogs> kLogOf = make_logs();
int16_t log_of(int64_t n) { return n < kLogs ? kLogOf[n] : network_input(log2_q6(1 + n)); }

// Bits of a number, to every second bit.
uint64_t spread(uint64_t v) {
  v = (v | v << 16) & 0x0000ffff0000ffff;
  v = (v | v << 8) & 0x00ff00ff00ff00ff;
  v = (v | v << 4) & 0x0f0f0f0f0f0f0f0f;
  v = (v | v << 2) & 0x3333333333333333;
  return (v | v << 1) & 0x5555555555555555;
}

constexpr int64_t kInsideWeight = 31;  // extra weight of the canvas over its margin

// Side of the root cell in px: the least power of two that holds a canvas side and both margins.
int64_t root_size(int side) { return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(side) + 2 * kMargin)); }

}  // namespace

Cell root_cell(Canvas canvas) {
  return {0, 0, root_size(canvas.width) << kPositionBits, root_size(canvas.height) << kPositionBits};
}

int64_t area_weight(const Cell& cell, Canvas canvas) {
  const auto overlap = [](int64_t start, int64_t size, int64_t low, int64_t high) {
    return std::max<int64_t>(std::min(start + size, high << kPositionBits) - std::max(start, low << kPositionBits),
                             0) >>
           8;
  };
  return kInsideWeight * overlap(cell.x, cell.width, kMargin, kMargin + canvas.width) *
             overlap(cell.y, cell.height, kMargin, kMargin + canvas.height) +
         overlap(cell.x, cell.width, 0, canvas.width + 2 * kMargin) *
             overlap(cell.y, cell.height, 0, canvas.height + 2 * kMargin);
}

void SplitTree::begin(const Setting& setting, const Cell& root, int64_t count, const std::vector<Center>& earlier,
                      size_t older, const Center* positions) {
  setting_ = setting;
  width_ = root.width;
  height_ = root.height;
  encoding_ = positions != nullptr;
  levels_ = 0;
  level_ = -1;
  const int64_t leaf_area = int64_t{1} << (leaf_log2(setting.tier) + 2 * kPositionBits);
  for (int64_t area = width_ * height_; area > leaf_area; area /= 2) ++levels_;
  const int64_t pixels = static_cast<int64_t>(setting.canvas.width) * setting.canvas.height;
  shared_[2] = network_input((log2_q6(pixels) - log2_q6(setting.of_all)) / 2);
  shared_[3] = network_input((log2_q6(pixels) - log2_q6(setting.of_tier)) / 2);
  shared_[4] = network_input(setting.step_code - kStepBias);
  sort_by_key(earlier.data(), earlier.size(), root, &earlier_);
  recent_.assign(earlier_.size() + 1, 0);
  for (size_t i = 0; i < earlier_.size(); ++i) recent_[i + 1] = recent_[i] + (earlier_[i].index >= older);
  seconds_.assign(earlier_.size() + 1, 0);
  if (encoding_) sort_by_key(positions, static_cast<size_t>(count), root, &given_);
  // No level has more nodes than splats.
  nodes_.clear();
  nodes_.reserve(static_cast<size_t>(count) + 1);
  halves_.reserve(static_cast<size_t>(count) + 1);
  nodes_.push_back({static_cast<int32_t>(root.x),
                    static_cast<int32_t>(root.y),
                    static_cast<int32_t>(count),
                    0,
                    0,
                    0,
                    static_cast<int32_t>(earlier_.size()),
                    0,
                    {-1, -1, -1, -1}});
}

// By key, then in the order given.
void SplitTree::sort_by_key(const Center* centers, size_t n, const Cell& root, std::vector<Keyed>* out) {
  // The longer side is halved until both are equal, then x and y take turns.
  const int wide = std::countr_zero(static_cast<uint64_t>(root.width)),
            high = std::countr_zero(static_cast<uint64_t>(root.height)), square = std::min(wide, high);
  const int alone = std::min(std::abs(wide - high), levels_), both = levels_ - alone, pairs = (both + 1) / 2;
  const auto bits = [](int64_t v, int from, int count) {
    return static_cast<uint64_t>(v >> from) & ((uint64_t{1} << count) - 1);
  };
  out->resize(n);
  for (size_t i = 0; i < n; ++i) {
    const int64_t x = centers[i].x - root.x, y = centers[i].y - root.y;
    const uint64_t lead = wide > high ? bits(x, wide - alone, alone) : bits(y, high - alone, alone);
    const uint64_t turns = spread(bits(x, square - pairs, pairs)) << 1 | spread(bits(y, square - pairs, pairs));
    (*out)[i] = {static_cast<uint32_t>(lead << both | turns >> (both & 1)), static_cast<uint32_t>(i)};
  }
  constexpr int kDigit = 11;
  constexpr size_t kFew = 256;
  if (n < kFew) {
    std::sort(out->begin(), out->end(),
              [](const Keyed& a, const Keyed& b) { return a.key != b.key ? a.key < b.key : a.index < b.index; });
    return;
  }
  sorted_.resize(n);
  const int passes = (levels_ + kDigit - 1) / kDigit, digit = passes ? (levels_ + passes - 1) / passes : 0;
  for (int pass = 0; pass < passes; ++pass) {
    const int shift = pass * digit;
    const uint32_t mask = (1u << digit) - 1;
    uint32_t next[(1 << kDigit) + 1] = {};
    for (const Keyed& k : *out) ++next[(k.key >> shift & mask) + 1];
    for (uint32_t d = 0; d < mask; ++d) next[d + 1] += next[d];
    for (const Keyed& k : *out) sorted_[next[k.key >> shift & mask]++] = k;
    std::swap(*out, sorted_);
  }
}

inline bool SplitTree::inside(const Node& node) const {
  constexpr int64_t kEdge = int64_t{kMargin} << kPositionBits;
  const Canvas canvas = setting_.canvas;
  const int64_t across = along_x_ ? 2 * width_ : width_, down = along_x_ ? height_ : 2 * height_;
  return node.x >= kEdge && node.y >= kEdge &&
         node.x + across <= kEdge + (static_cast<int64_t>(canvas.width) << kPositionBits) &&
         node.y + down <= kEdge + (static_cast<int64_t>(canvas.height) << kPositionBits);
}

bool SplitTree::next_level() {
  if (++level_ >= levels_) return false;
  along_x_ = width_ >= height_;
  (along_x_ ? width_ : height_) /= 2;
  shared_[0] = network_input(log2_q6((2 * width_ * height_) >> (2 * kPositionBits)) / 2);
  shared_[1] = along_x_ ? 0 : kInputOne;
  const uint32_t bit = uint32_t{1} << (levels_ - 1 - level_);
  open_.clear();
  for (size_t i = 0; i < earlier_.size(); ++i) seconds_[i + 1] = seconds_[i] + ((earlier_[i].key & bit) != 0);
  for (Node& node : nodes_) {
    node.middle = node.end - (seconds_[node.end] - seconds_[node.begin]);
    if (!encoding_) continue;
    // Keys agree up to this bit.
    const auto from = given_.begin() + node.given;
    node.first = static_cast<int32_t>(
        std::partition_point(from, from + node.count, [&](const Keyed& k) { return !(k.key & bit); }) - from);
  }
  for (size_t i = 0; i < nodes_.size(); ++i) {
    Node& node = nodes_[i];
    if (!inside(node))
      if (const auto [first, second] = area_weights(node); first == 0 || second == 0) {
        node.first = second == 0 ? node.count : 0;
        continue;
      }
    open_.push_back(static_cast<int32_t>(i));
  }
  return true;
}

std::array<int64_t, 2> SplitTree::area_weights(const Node& node) const {
  const Canvas canvas = setting_.canvas;
  return {area_weight({node.x, node.y, width_, height_}, canvas),
          area_weight({node.x + (along_x_ ? width_ : 0), node.y + (along_x_ ? 0 : height_), width_, height_}, canvas)};
}

void SplitTree::put_inputs(size_t begin, size_t n, int16_t* to) const {
  for (size_t i = 0; i < n; ++i) put_inputs(nodes_[open_[begin + i]], to + i * Network::kSplitStride);
}

void SplitTree::put_inputs(const Node& node, int16_t* in) const {
  static constexpr Node kNobody{};
  const int across = along_x_ ? 2 : 0, along = 2 - across;
  const auto beside = [&](int side) -> const Node& {
    return *(node.beside[side] < 0 ? &kNobody : &nodes_[node.beside[side]]);
  };
  const Node &before = beside(along), &after = beside(along + 1);
  in[0] = log_of(node.count);
  in[1] = log_of(node.middle - node.begin);
  in[2] = log_of(node.end - node.middle);
  in[3] = log_of(recent_[node.middle] - recent_[node.begin]);
  in[4] = log_of(recent_[node.end] - recent_[node.middle]);
  in[5] = log_of(before.count);
  in[6] = log_of(after.count);
  in[7] = log_of(int64_t{beside(across).count} + beside(across + 1).count);
  in[8] = log_of(before.end - before.middle);
  in[9] = log_of(after.middle - after.begin);
  if (inside(node)) {
    in[10] = in[11] = -kInputOne;
  } else if (const auto [first_weight, second_weight] = area_weights(node); first_weight == second_weight) {
    in[10] = in[11] = -kInputOne;
  } else {
    const int64_t both = log2_q6(first_weight + second_weight);
    in[10] = network_input(std::max<int64_t>(log2_q6(first_weight) - both, -6 * kInputOne));
    in[11] = network_input(std::max<int64_t>(log2_q6(second_weight) - both, -6 * kInputOne));
  }
  std::copy_n(shared_, std::size(shared_), in + kShared);
}

void SplitTree::finish_level() {
  halves_.resize(std::min(2 * nodes_.size(), halves_.capacity()));
  halves_of_.resize(nodes_.size());
  const int32_t right = static_cast<int32_t>(along_x_ ? width_ : 0),
                down = static_cast<int32_t>(along_x_ ? 0 : height_);
  int32_t size = 0;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    const int32_t second = node.count - node.first;
    // Written in any case, and kept where there are splats.
    halves_[size] = {node.x, node.y, node.first, 0, node.begin, 0, node.middle, node.given, {}};
    halves_of_[i][0] = node.first ? size : -1;
    size += node.first != 0;
    halves_[size] = {node.x + right, node.y + down, second, 0, node.middle, 0, node.end, node.given + node.first, {}};
    halves_of_[i][1] = second ? size : -1;
    size += second != 0;
  }
  halves_.resize(size);
  // A half lies beside its sibling, and beside halves of the cells beside its parent.
  const int before = along_x_ ? 0 : 2, across = along_x_ ? 2 : 0;
  const auto half_of = [&](int32_t node, int half) { return node < 0 ? -1 : halves_of_[node][half]; };
  for (size_t i = 0; i < nodes_.size(); ++i)
    for (int h = 0; h < 2; ++h) {
      const int32_t own = halves_of_[i][h], sibling = halves_of_[i][1 - h];
      if (own < 0) continue;
      const auto& parent = nodes_[i].beside;
      auto& b = halves_[own].beside;
      b[before] = h == 0 ? half_of(parent[before], 1) : sibling;
      b[before + 1] = h == 0 ? sibling : half_of(parent[before + 1], 0);
      b[across] = half_of(parent[across], h);
      b[across + 1] = half_of(parent[across + 1], h);
    }
  std::swap(nodes_, halves_);
}

std::vector<Leaf> SplitTree::leaves() const {
  std::vector<Leaf> out;
  out.reserve(nodes_.size());
  for (const Node& node : nodes_) out.push_back({node.x, node.y, node.count});
  return out;
}

std::vector<int32_t> SplitTree::order() const {
  std::vector<int32_t> out;
  out.reserve(given_.size());
  for (const Keyed& k : given_) out.push_back(static_cast<int32_t>(k.index));
  return out;
}

}  // namespace splat2d
