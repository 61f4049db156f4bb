#include "format/quantizer.hpp"

namespace splat2d {

namespace {

// Column range of lattice row iy inside the box.
void row_range(const Lattice& l, const CellBox& box, int64_t iy, int64_t* first, int64_t* end) {
  const int64_t offset = (l.shear * (iy * l.hy)) >> kPositionBits;
  *first = -floor_div(-(box.x0 - offset), l.hx);
  *end = -floor_div(-(box.x1 - offset), l.hx);
}

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

int64_t lattice_points(const Lattice& l, const CellBox& box) {
  int64_t total = 0, first, end;
  for (int64_t iy = -floor_div(-box.y0, l.hy); iy * l.hy < box.y1; ++iy) {
    row_range(l, box, iy, &first, &end);
    total += end - first;
  }
  return total;
}

int64_t lattice_index(const Lattice& l, const CellBox& box, int64_t ix, int64_t iy_wanted) {
  int64_t total = 0, first, end;
  for (int64_t iy = -floor_div(-box.y0, l.hy); iy < iy_wanted; ++iy) {
    row_range(l, box, iy, &first, &end);
    total += end - first;
  }
  row_range(l, box, iy_wanted, &first, &end);
  return total + ix - first;
}

bool lattice_point(const Lattice& l, const CellBox& box, int64_t index, int64_t* ix, int64_t* iy) {
  int64_t first, end;
  for (*iy = -floor_div(-box.y0, l.hy); *iy * l.hy < box.y1; ++*iy) {
    row_range(l, box, *iy, &first, &end);
    if (index < end - first) {
      *ix = first + index;
      return true;
    }
    index -= end - first;
  }
  return false;
}

}  // namespace splat2d
