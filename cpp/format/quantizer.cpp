#include "format/quantizer.hpp"

#include <initializer_list>

namespace splat2d {

namespace {

// The rows of a lattice in a box, one after another: which columns of each lie inside.
class CellRows {
 public:
  CellRows(const Lattice& l, const CellBox& box)
      : hx_(l.hx), hy_(l.hy), slope_(l.shear * l.hy), bottom_(box.y1), iy(-floor_div(-box.y0, l.hy)) {
    product_ = slope_ * iy;
    const int64_t offset = product_ >> kPositionBits;
    left_ = quotient(offset - box.x0);
    right_ = quotient(offset - box.x1);
    step_ = slope_ >> kPositionBits;
    by_ = quotient(step_);
  }
  bool more() const { return iy * hy_ < bottom_; }
  int64_t first() const { return -left_.whole; }
  int64_t end() const { return -right_.whole; }
  void next() {
    ++iy;
    const int64_t offset = product_ >> kPositionBits;
    product_ += slope_;
    const int64_t carry = (product_ >> kPositionBits) - offset - step_;  // 0 or 1
    left_ = {left_.whole + by_.whole, left_.rest + by_.rest + carry};
    right_ = {right_.whole + by_.whole, right_.rest + by_.rest + carry};
    for (Quotient* q : {&left_, &right_})
      if (q->rest >= hx_) *q = {q->whole + 1, q->rest - hx_};
  }

 private:
  struct Quotient {
    int64_t whole, rest;
  };
  Quotient quotient(int64_t v) const {
    const int64_t whole = floor_div(v, hx_);
    return {whole, v - whole * hx_};
  }
  int64_t hx_, hy_, slope_, bottom_, product_, step_;
  Quotient left_, right_, by_;

 public:
  int64_t iy;
};

}  // namespace

ColorSteps color_steps(int channels, int chroma_step) {
  ColorSteps s{channels, {8, 8, 8, 8}};
  if (channels >= 3) s.weight[1] = s.weight[2] = chroma_step;
  return s;
}

const float* color_basis(int channels) {
  static const float grey[4] = {1, 0, 0, 1};
  static const float rgb[9] = {0.57735027f,  0.57735027f, 0.57735027f,  0.70710678f, 0.0f,
                               -0.70710678f, 0.40824829f, -0.81649658f, 0.40824829f};
  static const float rgba[16] = {
      0.57735027f, 0.57735027f, 0.57735027f, 0, 0.70710678f, 0, -0.70710678f, 0, 0.40824829f, -0.81649658f,
      0.40824829f, 0,           0,           0, 0,           1};
  static const float one[1] = {1};
  return channels == 1 ? one : channels == 2 ? grey : channels == 3 ? rgb : rgba;
}

void area_range(int energy_class, int tier, int* low, int* high) {
  const int64_t step = shape_step(energy_class);
  const int64_t floor_edge = tier == kTiers - 1 ? kLog2ScaleMin : static_cast<int64_t>(kTiers - 2 - tier) * kTierWidth;
  const int64_t end_edge = tier == 0 ? kLog2ScaleMax + 1 : static_cast<int64_t>(kTiers - 1 - tier) * kTierWidth;
  *low = static_cast<int>(-floor_div(-floor_edge, step));
  *high = static_cast<int>(-floor_div(-end_edge, step)) - 1;
}

PointsInCell::PointsInCell(const Lattice& l, const CellBox& box) {
  CellRows rows(l, box);
  for (first_row_ = rows.iy; rows.more(); rows.next()) {
    const int64_t first = rows.first(), count = rows.end() - first;
    count_ += count;
    const Row row{static_cast<int32_t>(first), static_cast<int32_t>(count)};
    if (rows_ < kKept && row.first == first && row.count == count)
      kept_[rows_++] = row;
    else
      rows_ = kKept + 1;
  }
}

bool PointsInCell::at(const Lattice& l, const CellBox& box, int64_t index, int64_t* ix, int64_t* iy) const {
  if (rows_ > kKept) return lattice_point(l, box, index, ix, iy);
  for (int r = 0; r < rows_; index -= kept_[r++].count)
    if (index < kept_[r].count) {
      *ix = kept_[r].first + index;
      *iy = first_row_ + r;
      return true;
    }
  return false;
}

int64_t lattice_points(const Lattice& l, const CellBox& box) { return PointsInCell(l, box).count(); }

int64_t lattice_index(const Lattice& l, const CellBox& box, int64_t ix, int64_t iy) {
  int64_t total = 0;
  CellRows rows(l, box);
  for (; rows.iy < iy; rows.next()) total += rows.end() - rows.first();
  return total + ix - rows.first();
}

bool lattice_point(const Lattice& l, const CellBox& box, int64_t index, int64_t* ix, int64_t* iy) {
  for (CellRows rows(l, box); rows.more(); rows.next()) {
    const int64_t count = rows.end() - rows.first();
    if (index < count) {
      *ix = rows.first() + index;
      *iy = rows.iy;
      return true;
    }
    index -= count;
  }
  return false;
}

}  // namespace splat2d
