// Where a tier's splats lie, as a set: cells are halved, level by level, and of each the number of splats in its first
// half is coded. docs/FORMAT.md, section 5.8, is this in words.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/quantizer.hpp"
#include "model/context.hpp"

namespace splat2d {

// Q12 px from the margin's corner; sides are powers of two.
struct Cell {
  int64_t x, y, width, height;

  bool along_x() const { return width >= height; }  // whether it is halved so
  Cell half(int which) const {
    return along_x() ? Cell{x + which * width / 2, y, width / 2, height}
                     : Cell{x, y + which * height / 2, width, height / 2};
  }
  bool holds(int64_t px, int64_t py) const { return px >= x && py >= y && px < x + width && py < y + height; }
};

// The cell that holds a canvas and its margin.
Cell root_cell(Canvas canvas);

// A cell's area in (1/16 px)^2; the margin's is divided by 32.
int64_t area_weight(const Cell& cell, Canvas canvas);

// A splat's centre, Q12 px from the margin's corner.
struct Center {
  int64_t x, y;
};

class SplitTree {
 public:
  static constexpr int kInputs = 17;             // of the network, for each cell
  static constexpr int64_t kLargestTable = 255;  // cells of more splats code their split uniformly

  struct Setting {
    Canvas canvas;
    int tier, step_code;
    int64_t of_tier, of_all;  // splats of the field
  };

  // earlier: centres of earlier tiers' splats in the root, the first `older` of them not of the tier before;
  // positions: [count] of this tier's splats, null when decoding.
  // What was there before is forgotten, but for its memory.
  void begin(const Setting& setting, const Cell& root, int64_t count, const std::vector<Center>& earlier, size_t older,
             const Center* positions);

  // Goes on to the next level; false when the cells are leaves.
  bool next_level();
  // Cells of the level whose split has to be coded, in order.
  size_t open() const { return open_.size(); }
  // Inputs [n, Network::kSplitStride] of some of them.
  void put_inputs(size_t begin, size_t n, int16_t* to) const;
  int64_t count(size_t i) const { return nodes_[open_[i]].count; }
  int64_t first(size_t i) const { return nodes_[open_[i]].first; }             // splats in the first half
  void set_first(size_t i, int64_t first) { nodes_[open_[i]].first = first; }  // from 0 to count
  void finish_level();

  // Leaves in coding order, and (when encoding) the given splats in the order of their leaves.
  std::vector<Leaf> leaves() const;
  LeafSize leaf_size() const { return {width_, height_}; }
  std::vector<int32_t> order() const;

 private:
  struct Node {
    int32_t x, y;  // which 32 bits hold on the largest canvas
    int32_t count, first;
    int32_t begin, middle, end;     // of the earlier splats in it and in its second half
    int32_t given;                  // where its splats begin, when encoding
    std::array<int32_t, 4> beside;  // nodes to the left, right, above and below, -1 where there is none
  };
  struct Keyed {
    uint32_t key, index;  // which half at every level, the first in the highest bit
  };
  void sort_by_key(const Center* centers, size_t n, const Cell& root, std::vector<Keyed>* out);
  bool inside(const Node& node) const;                          // of the canvas
  std::array<int64_t, 2> area_weights(const Node& node) const;  // of its halves
  void put_inputs(const Node& node, int16_t* in) const;

  Setting setting_{};
  int64_t width_ = 0, height_ = 0;  // of the level's cells, then of halves
  int levels_ = 0, level_ = -1;
  bool along_x_ = false, encoding_ = false;
  static constexpr int kShared = 12;  // the first of the inputs that the level's cells share
  int16_t shared_[6]{};
  std::vector<Node> nodes_, halves_;               // of the level, and of the next
  std::vector<std::array<int32_t, 2>> halves_of_;  // of each node, which of the next level's; -1 where it has no splat
  std::vector<int32_t> open_;
  std::vector<Keyed> earlier_, given_, sorted_;
  std::vector<int32_t> seconds_;  // of the earlier ones before each, those in second halves
  std::vector<int32_t> recent_;   // of the earlier ones before each, those of the tier before
};

}  // namespace splat2d
