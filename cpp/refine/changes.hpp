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

  // The cells that a box, clipped to the canvas, touches: how many, and the energy of one.
  SPLAT2D_LOOP int count(const Box& box) const { return box.empty() ? 0 : columns(box) * rows(box); }
  SPLAT2D_LOOP double& at(const Box& box, int i) const {
    const int y = box.y0 / kCell + i / columns(box), x = box.x0 / kCell + i % columns(box);
    return energy[static_cast<size_t>(across) * y + x];
  }
  SPLAT2D_LOOP void add(const Lanes& lanes, const Box& box, double change) const {
    const int cells = count(box);
    for (int i = lanes.lane(); i < cells; i += Lanes::kCount) at(box, i) += change / cells;
    lanes.meet();
  }
  // Changes so far, the mean of the cells of a box.
  SPLAT2D_LOOP double mean(const Lanes& lanes, const Box& box) const {
    const int cells = count(box);
    double sum = 0;
    for (int i = lanes.lane(); i < cells; i += Lanes::kCount) sum += at(box, i);
    sum = lanes.sum(sum);
    return cells ? sum / cells : 0.0;
  }
  // The same, of one thread.
  SPLAT2D_LOOP double mean(const Box& box) const {
    const int cells = count(box);
    double sum = 0;
    for (int i = 0; i < cells; ++i) sum += at(box, i);
    return cells ? sum / cells : 0.0;
  }

 private:
  SPLAT2D_LOOP static int columns(const Box& box) { return (box.x1 - 1) / kCell - box.x0 / kCell + 1; }
  SPLAT2D_LOOP static int rows(const Box& box) { return (box.y1 - 1) / kCell - box.y0 / kCell + 1; }
};

}  // namespace splat2d
