// Which splats are refined at the same time: those whose visits cannot touch the same pixels.
#pragma once

#include <cstdint>
#include <vector>

#include "device/precedence.hpp"
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
  Box reach;     // px that its moves touch, but for a few that widen it most
  float pixels;  // that it touches in all frames, about
};

void put_in_order(std::vector<Waiting>* waiting);

constexpr double kUnseen = -1e30;  // the changes around a splat before its first visit

struct Visit {
  int splat;
  Box reach;  // moves that would go farther are not tried
};

// Visits of a line go one after another, lines as their precedence has it.
struct Schedule : Precedence {
  std::vector<Visit> visits;
  std::vector<int> lines{0};  // where each begins in `visits`, and the end

  void end_line();
  void end_stage();
};

// For a few workers: long lines. The widest splats first, one after another; then square cells of the canvas in four
// colours, a line each: splats of cells of one colour cannot touch the same pixels. Each splat is in the smallest
// cells, of several sizes, whose regions hold its reach; large cells go first.
Schedule in_cells(const std::vector<Waiting>& waiting, Canvas canvas);

// For many workers, lines of one visit. Each splat goes in the first stage in which no other is at work on a pixel of
// its reach, so the result is that of going one by one, and there are hardly more stages than visits to the busiest
// pixel. Large ones choose first, so that visits of a stage are about as long. This is greedy colouring; small cells of
// the canvas, each for one visit at a time, stand for the graph's edges. A line waits for those that were last in its
// cells. Since those that wait for one another take as long as all of them together, up to `most` workers share a large
// splat.
Schedule in_sets(const std::vector<Waiting>& waiting, Canvas canvas, int most);

}  // namespace splat2d
