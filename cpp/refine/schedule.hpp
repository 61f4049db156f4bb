// Which splats are refined at the same time: those whose visits cannot touch the same pixels.
#pragma once

#include <cstdint>
#include <vector>

#include "math/gaussian.hpp"

namespace splat2d {

// Of a splat's place in the random order of a seed (splitmix64).
SPLAT2D_HD uint64_t order_key(uint64_t seed, uint64_t splat) {
  uint64_t x = seed * 0x100000001ull + splat + 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// A splat that waits for its visit; the lowest key goes first.
struct Waiting {
  uint64_t key;
  int splat;
  float mean[2];
  Box reach;  // px that its moves touch, but for a few that widen it most
};

void put_in_order(std::vector<Waiting>* waiting);

constexpr double kUnseen = -1e30;  // the changes around a splat before its first visit

struct Visit {
  int splat;
  Box reach;  // moves that would go farther are not tried
};

// Visits of a line go one after another, lines of a stage at the same time, stages one after another.
struct Schedule {
  std::vector<Visit> visits;
  std::vector<int> lines{0};   // where each begins in `visits`, and the end
  std::vector<int> stages{0};  // where each begins in `lines`, and the end
  int wide = 0;                // first stages that are one visit each, of all workers together
  // For workers that do not wait for a whole stage: the lines that each waits for, all of them before it.
  std::vector<int> awaited;
  std::vector<int> waits{0};  // where each line's begin in `awaited`, and the end

  void end_line();
  void end_stage();
};

// For a few workers: long lines. The widest splats first, one after another; then square cells of the canvas in four
// colours, a line each: splats of cells of one colour cannot touch the same pixels. Each splat is in the smallest
// cells, of several sizes, whose regions hold its reach; large cells go first.
Schedule in_cells(const std::vector<Waiting>& waiting, Canvas canvas);

// For many workers: the widest splats first, each by all workers, then lines of one visit. Each splat goes in the first
// stage in which no other is at work on a pixel of its reach, so the result is that of going one by one, and there are
// hardly more stages than visits to the busiest pixel. Large ones choose first, so that visits of a stage are about as
// long. This is greedy colouring; small cells of the canvas, each for one visit at a time, stand for the graph's edges.
// A line waits for those that were last in its cells.
Schedule in_sets(const std::vector<Waiting>& waiting, Canvas canvas);

}  // namespace splat2d
