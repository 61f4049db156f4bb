// Where a refinement changed the picture.
#pragma once

#include <cstddef>

#include "device/device.hpp"
#include "math/gaussian.hpp"

namespace splat2d {

// How much of the picture changed since each splat was last visited, so that later visits can be spared.
struct ChangeMap {
  static constexpr int kCell = 16;  // px; divides the regions that are refined at the same time
  int across;                       // cells in a row
  double* energy;                   // of all changes so far, by cell

  // Calls f(cell's energy) for the cells that a box, clipped to the canvas, touches; returns their number.
  template <class F>
  SPLAT2D_LOOP int visit(Box box, F f) const {
    if (box.empty()) return 0;
    const int x0 = box.x0 / kCell, y0 = box.y0 / kCell, x1 = (box.x1 - 1) / kCell, y1 = (box.y1 - 1) / kCell;
    for (int y = y0; y <= y1; ++y)
      for (int x = x0; x <= x1; ++x) f(energy[static_cast<size_t>(across) * y + x]);
    return (x1 - x0 + 1) * (y1 - y0 + 1);
  }
  SPLAT2D_LOOP void add(Box box, double change) const {
    const int cells = visit(box, [](double&) {});
    visit(box, [&](double& e) { e += change / cells; });
  }
  // Changes so far, the mean of the cells of a box.
  SPLAT2D_LOOP double mean(Box box) const {
    double sum = 0;
    const int cells = visit(box, [&](double& e) { sum += e; });
    return cells ? sum / cells : 0.0;
  }
};

}  // namespace splat2d
