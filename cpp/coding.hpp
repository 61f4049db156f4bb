// Integer models of the bitstream: adaptive frequency tables and the recursive halving that codes positions.
//
// docs/FORMAT.md section 5 is this in words. A row of probabilities is handed out as doubles that are exact
// integers: weight - 1 of weights that sum to 2^24, which is what the range coder's library turns back into
// those weights without rounding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace splat2d {

constexpr int64_t kTotal = 1 << 24;

// Weights >= 0 of one row to weights >= 1 that sum to 2^24, less one; the first largest takes the remainder.
void normalise(const int64_t* weights, int symbols, double* out);

// Distributions over `symbols` for coarse contexts, and for `fine` contexts below each.
class Table {
 public:
  static constexpr int64_t kCount = 256;                   // what one coded symbol adds to a coarse row
  static constexpr int64_t kMostCounted = (1 << 23) - 16;  // beyond it the products leave 64 bits
  static constexpr int64_t kUnit = 1 << 16;                // the coarse distribution's fixed-point one

  // prior: [contexts, symbols] weights in units of kCount to one coded symbol.
  Table(std::vector<int64_t> prior, int contexts, int symbols, int fine, int strength);

  int symbols() const { return symbols_; }
  int contexts() const { return contexts_; }
  int fine() const { return fine_; }
  // One row of weight - 1. fine < 0 uses the coarse row alone.
  void row(int coarse, int fine, double* out) const;
  void update(int coarse, int fine, int symbol);

 private:
  int contexts_, symbols_, fine_, strength_;
  std::vector<int64_t> coarse_, counts_, coarse_totals_, totals_;
};

// Codes how many of each cell's splats lie in its first half, level by level.
class SplitTree {
 public:
  // Cells of one level whose tables have one width.
  struct Group {
    int symbols;             // 0: uniform over count + 1
    std::vector<int> cells;  // indices into the level's cells
  };

  // earlier, positions: x, y pairs in Q12 px from the margin's corner; positions empty when decoding.
  SplitTree(int width, int height, int tier, int64_t count, const int64_t* earlier, size_t earlier_count,
            const int64_t* positions);

  // Prepares the next level; false when the cells are leaves.
  bool next_level();
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

  int width_, height_, tier_;
  int64_t leaf_area_, cell_width_, cell_height_;
  bool along_x_ = false, encoding_;
  std::vector<int64_t> x_, y_, counts_, first_, alpha_, given_;
  std::vector<int64_t> earlier_, positions_;
  std::vector<int> earlier_cell_, member_;
  std::vector<Group> groups_;
};

// The known splat that is nearest to each point in units of its own size, among those whose bucket of 64 px
// touches the point's.
struct Neighbours {
  std::vector<int64_t> index;     // -1 where there is none
  std::vector<int64_t> distance;  // 0 to 3, from overlapping to far or none
};

// points, known: x, y pairs in Q12 px from the margin's corner; log_areas: log2(s1 s2) in Q16 of the known.
Neighbours find_neighbours(const int64_t* points, size_t count, int tier, const int64_t* known,
                           const int64_t* log_areas, size_t known_count);

}  // namespace splat2d
