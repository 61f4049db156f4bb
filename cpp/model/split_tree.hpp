// Integer models of the bitstream: weights of rows and the recursive halving that codes positions.
//
// docs/FORMAT.md section 5 is this in words. A row of probabilities is handed out as doubles that are exact
// integers: weight - 1 of weights that sum to 2^24, which is what the range coder's library turns back into
// those weights without rounding.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/quantizer.hpp"
#include "model/network.hpp"

namespace splat2d {

// Codes how many of each cell's splats lie in its first half, level by level.
class SplitTree {
 public:
  // Cells of one level whose tables have one width.
  struct Group {
    int symbols;             // 0: uniform over count + 1
    std::vector<int> cells;  // indices into the level's cells
  };

  static constexpr int kInputs = 17;  // of the network, for each cell

  struct Layout {
    Canvas canvas;
    int tier, step_code;
    int64_t count, total;  // splats of this tier and of the file
    int64_t previous;      // the last of `earlier` that are of the tier before
  };

  // earlier, positions: x, y pairs in Q12 px from the margin's corner; positions null when decoding.
  SplitTree(const Layout& layout, const int64_t* earlier, size_t earlier_count, const int64_t* positions);

  // Prepares the next level; false when the cells are leaves.
  bool next_level(const Network& network, int threads);
  // The inputs of the level's cells, [cells, kInputs].
  const std::vector<float>& inputs() const { return inputs_; }
  const std::vector<Group>& groups() const { return groups_; }
  int64_t count_of(int cell) const { return counts_[cell]; }
  void row(int cell, int symbols, double* out) const;
  int64_t value(int cell) const { return given_[cell]; }  // splats in the first half, when encoding
  bool set(int cell, int64_t first);                      // false when out of range
  void finish_level();

  // Leaves: corners of each splat's cell in coding order, their size, and the given splats in that order.
  void leaves(std::vector<int64_t>* corners, std::vector<int64_t>* order) const;
  int64_t cell_width() const { return cell_width_; }
  int64_t cell_height() const { return cell_height_; }

 private:
  int64_t area_weight(int64_t x, int64_t y) const;

  Layout layout_;
  int64_t leaf_area_, cell_width_, cell_height_;
  bool along_x_ = false, encoding_;
  std::vector<int64_t> x_, y_, counts_, first_, alpha_, beta_, given_;  // alpha and beta in 1/256
  std::vector<std::array<int, 4>> beside_;  // cells to the left, right, above and below, -1 where there is none
  std::vector<float> inputs_;
  std::vector<int64_t> earlier_, positions_;
  std::vector<int> earlier_cell_, member_;
  std::vector<Group> groups_;
};

}  // namespace splat2d
