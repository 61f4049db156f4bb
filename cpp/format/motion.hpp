// The one definition of a motion field's coefficients from the integers that are coded: docs/FORMAT.md, section 9.6.
//
// The field is known at nodes in time, evenly from the first frame to the last; one of them is the reference, where
// nothing is displaced. A node is predicted from those known before it. What is left is a plane and, on lattices of
// four times the cell, twice and once, corrections, each added to what the coarser ones make on the finer lattice.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <vector>

#include "format/quantizer.hpp"

namespace splat2d {

constexpr int kMotionUnits = 256;  // of coefficients, to the px
constexpr int kMotionLevels = 3;   // of lattices, coarse first
constexpr int kMotionPlane = 6;    // integers of a node's plane: x, its slopes to the right and down; y, likewise
constexpr int kMotionCellLog2Min = 4, kMotionCellLog2Max = 8;
constexpr int kMotionStepLog2Min = 3, kMotionStepLog2Max = 8;  // units
constexpr int64_t kMostMotion = int64_t{1} << 22;              // units, of a coefficient
constexpr int64_t kMostCoefficients = 1 << 18;                 // of the finest lattice, over all nodes
constexpr int64_t kMostMotionInteger = 1 << 16;

struct MotionLayout {
  Canvas world;
  int intervals;  // of the nodes; there is one more node
  int reference;  // number of the node
  int cell_log2;  // px, of the finest lattice
  int step_log2;  // units, of corrections

  int nodes() const { return intervals + 1; }
  // Coefficients along a side of a lattice; the second lies on the margin's corner.
  int along(int side, int level) const {
    const int cell = 1 << (cell_log2 + kMotionLevels - 1 - level);
    return (side + 2 * kMargin + cell - 1) / cell + 3;
  }
  int columns(int level = kMotionLevels - 1) const { return along(world.width, level); }
  int rows(int level = kMotionLevels - 1) const { return along(world.height, level); }
  size_t coefficients(int level) const { return static_cast<size_t>(rows(level)) * columns(level); }
  // Integers of a node.
  size_t integers() const {
    size_t out = kMotionPlane;
    for (int level = 0; level < kMotionLevels; ++level) out += 2 * coefficients(level);
    return out;
  }
  // Why no file can have this, or null.
  const char* fault() const {
    if (cell_log2 < kMotionCellLog2Min || cell_log2 > kMotionCellLog2Max)
      return "the cell of a motion field is out of range";
    if (step_log2 < kMotionStepLog2Min || step_log2 > kMotionStepLog2Max)
      return "the step of a motion field is out of range";
    if (intervals < 1 || intervals > 63 || reference < 0 || reference > intervals)
      return "the knots of a motion field are out of range";
    if (static_cast<int64_t>(rows()) * columns() * nodes() > kMostCoefficients)
      return "a motion field has more coefficients than the limit";
    return nullptr;
  }
};

// The order of the nodes, and those that each is predicted from, of which the last may be missing (-1).
struct MotionNode {
  int node;
  int from[3];
};

inline std::vector<MotionNode> motion_order(int intervals, int reference) {
  std::vector<MotionNode> out;
  std::vector<int> known(intervals + 1, 0);
  known[reference] = 1;
  const auto add = [&](MotionNode n) {
    known[n.node] = 1;
    out.push_back(n);
  };
  if (reference < intervals) add({intervals, {reference, -1, -1}});
  if (reference > 0) add({0, {reference, reference < intervals ? intervals : -1, -1}});
  // Middles between known neighbours, the widest gaps first.
  for (int gap = intervals; gap >= 2; --gap)
    for (int low = 0; low + gap <= intervals; ++low) {
      const int high = low + gap;
      bool between = known[low] && known[high];
      for (int k = low + 1; k < high; ++k) between = between && !known[k];
      if (!between) continue;
      const int middle = (low + high) / 2;
      int third = -1;
      for (int d = 1; third < 0 && d <= intervals; ++d) {
        if (high + d <= intervals && known[high + d])
          third = high + d;
        else if (low - d >= 0 && known[low - d])
          third = low - d;
      }
      add({middle, {low, high, third}});
    }
  return out;
}

class MotionNodes {
 public:
  explicit MotionNodes(const MotionLayout& layout)
      : layout_(layout), size_(2 * layout.coefficients(kMotionLevels - 1)), values_(size_ * layout.nodes(), 0) {}

  // Makes a node of its integers; those that it is predicted from are there. Returns whether all is in range.
  bool make(const MotionNode& n, const int32_t* integers) {
    const MotionLayout& l = layout_;
    std::vector<int64_t> fine;
    const int32_t* next = integers + kMotionPlane;
    for (int level = 0; level < kMotionLevels; ++level) {
      const int rows = l.rows(level), columns = l.columns(level);
      if (level == 0) {
        fine.resize(2 * l.coefficients(0));
        for (int r = 0; r < rows; ++r)
          for (int c = 0; c < columns; ++c)
            for (int a = 0; a < 2; ++a) {
              const int32_t* p = integers + 3 * a;
              const int64_t slope = p[1] * int64_t{2 * c - columns + 1} + p[2] * int64_t{2 * r - rows + 1};
              fine[2 * (static_cast<size_t>(r) * columns + c) + a] = (p[0] * int64_t{8} + slope) << (l.step_log2 - 3);
            }
      } else {
        fine = refined(fine, l.rows(level - 1), l.columns(level - 1), rows, columns);
      }
      for (int64_t& v : fine) {
        v += static_cast<int64_t>(*next++) << l.step_log2;
        if (v < -2 * kMostMotion || v > 2 * kMostMotion) return false;
      }
    }
    int32_t* to = &values_[n.node * size_];
    for (size_t i = 0; i < size_; ++i) {
      const int64_t v = fine[i] + predicted(n, i);
      if (v < -kMostMotion || v > kMostMotion) return false;
      to[i] = static_cast<int32_t>(v);
    }
    return true;
  }

  // What a node's coefficient is predicted to be.
  int64_t predicted(const MotionNode& n, size_t i) const {
    const auto value = [&](int node) { return static_cast<int64_t>(values_[node * size_ + i]); };
    const int64_t t = n.node, a = n.from[0], b = n.from[1], c = n.from[2];
    if (b < 0) return value(n.from[0]);
    // The straight line through two nodes, or the parabola through three.
    int64_t of_a = t - b, by_a = a - b, of_b = t - a, by_b = b - a, of_c = 0, by_c = 1;
    if (c >= 0) {
      of_a *= t - c;
      by_a *= a - c;
      of_b *= t - c;
      by_b *= b - c;
      of_c = (t - a) * (t - b);
      by_c = (c - a) * (c - b);
    }
    int64_t sum = value(n.from[0]) * of_a * by_b * by_c + value(n.from[1]) * of_b * by_a * by_c;
    if (c >= 0) sum += value(n.from[2]) * of_c * by_a * by_b;
    int64_t by = by_a * by_b * by_c;
    if (by < 0) {
      by = -by;
      sum = -sum;
    }
    return floor_div(2 * sum + by, 2 * by);
  }

  // [nodes, rows, columns, 2], units.
  const std::vector<int32_t>& values() const { return values_; }

 private:
  static std::vector<int64_t> refined(const std::vector<int64_t>& coarse, int from_rows, int from_columns, int rows,
                                      int columns) {
    const auto halved = [](const std::vector<int64_t>& from, size_t lines, size_t step, size_t stride, int count,
                           std::vector<int64_t>* to, size_t to_step, size_t to_stride) {
      for (size_t line = 0; line < lines; ++line)
        for (int k = 0; k < count; ++k) {
          const int64_t* c = &from[line * step + static_cast<size_t>(k / 2) * stride];
          (*to)[line * to_step + k * to_stride] =
              k % 2 ? (c[0] + 6 * c[stride] + c[2 * stride] + 4) >> 3 : (c[0] + c[stride] + 1) >> 1;
        }
    };
    std::vector<int64_t> wide(2 * static_cast<size_t>(from_rows) * columns),
        out(2 * static_cast<size_t>(rows) * columns);
    for (size_t r = 0; r < static_cast<size_t>(from_rows); ++r)
      for (size_t a = 0; a < 2; ++a) {
        std::vector<int64_t> line(from_columns), to(columns);
        for (int c = 0; c < from_columns; ++c) line[c] = coarse[2 * (r * from_columns + c) + a];
        halved(line, 1, 0, 1, columns, &to, 0, 1);
        for (int c = 0; c < columns; ++c) wide[2 * (r * columns + c) + a] = to[c];
      }
    halved(wide, 2 * static_cast<size_t>(columns), 1, 2 * static_cast<size_t>(columns), rows, &out, 1,
           2 * static_cast<size_t>(columns));
    return out;
  }

  MotionLayout layout_;
  size_t size_;
  std::vector<int32_t> values_;
};

}  // namespace splat2d
