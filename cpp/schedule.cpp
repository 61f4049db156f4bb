#include "schedule.hpp"

#include <algorithm>
#include <utility>

#include "refine_splat.hpp"

namespace splat2d {

namespace {

constexpr int kSquare = 128;  // px
// Of the canvas, a cell is what one visit at a time may touch; visits write to the cells of the change map, too.
constexpr int kShared = ChangeMap::kCell;
static_assert(kSquare % kShared == 0 && kMargin % kShared == 0);

}  // namespace

void put_in_order(std::vector<Waiting>* waiting) {
  std::sort(waiting->begin(), waiting->end(),
            [](const Waiting& a, const Waiting& b) { return std::pair(a.key, a.splat) < std::pair(b.key, b.splat); });
}

void Schedule::end_line() {
  if (lines.back() < static_cast<int>(visits.size())) lines.push_back(static_cast<int>(visits.size()));
}

void Schedule::end_stage() {
  end_line();
  const int end = static_cast<int>(lines.size()) - 1;
  if (stages.back() < end) stages.push_back(end);
}

Schedule in_cells(const std::vector<Waiting>& waiting, Canvas canvas) {
  const int across = (canvas.width + 2 * kMargin) / kSquare + 1, down = (canvas.height + 2 * kMargin) / kSquare + 1;
  const auto region_of = [&](int cell) {
    const int x0 = cell % across * kSquare - kMargin - kSquare / 2,
              y0 = cell / across * kSquare - kMargin - kSquare / 2;
    return Box{x0, y0, x0 + 2 * kSquare, y0 + 2 * kSquare};
  };
  constexpr Box kEverywhere{-(1 << 20), -(1 << 20), 1 << 20, 1 << 20};
  Schedule out;
  std::vector<std::vector<Visit>> cells(static_cast<size_t>(across) * down);
  for (const Waiting& w : waiting) {
    const int column = static_cast<int>(w.mean[0] + kMargin) / kSquare;
    const int cell = static_cast<int>(w.mean[1] + kMargin) / kSquare * across + column;
    const Box region = region_of(cell), &b = w.reach;
    if (b.x0 >= region.x0 && b.y0 >= region.y0 && b.x1 <= region.x1 && b.y1 <= region.y1)
      cells[cell].push_back({w.splat, region});
    else
      out.visits.push_back({w.splat, kEverywhere});
  }
  out.end_stage();
  for (int color = 0; color < 4; ++color) {
    for (int cell = 0; cell < across * down; ++cell) {
      if ((cell % across & 1) + 2 * (cell / across & 1) != color) continue;
      out.visits.insert(out.visits.end(), cells[cell].begin(), cells[cell].end());
      out.end_line();
    }
    out.end_stage();
  }
  return out;
}

Schedule in_sets(const std::vector<Waiting>& waiting, Canvas canvas) {
  const int across = (canvas.width + kShared - 1) / kShared, down = (canvas.height + kShared - 1) / kShared;
  std::vector<int> next(static_cast<size_t>(across) * down, 0);  // the first stage in which a cell is free
  std::vector<std::vector<Visit>> sets;
  for (const Waiting& w : waiting) {
    const Box& b = w.reach;
    const auto each_cell = [&](auto&& f) {
      for (int y = b.y0 / kShared; y < std::min((b.y1 + kShared - 1) / kShared, down); ++y)
        for (int x = b.x0 / kShared; x < std::min((b.x1 + kShared - 1) / kShared, across); ++x)
          f(next[static_cast<size_t>(across) * y + x]);
    };
    int set = 0;
    each_cell([&](int free) { set = std::max(set, free); });
    each_cell([&](int& free) { free = set + 1; });
    if (set == static_cast<int>(sets.size())) sets.emplace_back();
    sets[set].push_back({w.splat, w.reach});
  }
  Schedule out;
  for (const auto& set : sets) {
    for (const Visit& visit : set) {
      out.visits.push_back(visit);
      out.end_line();
    }
    out.end_stage();
  }
  return out;
}

}  // namespace splat2d
