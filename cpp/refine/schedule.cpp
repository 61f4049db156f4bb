#include "refine/schedule.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "refine/splat.hpp"

namespace splat2d {

namespace {

constexpr int kSquare = 128;     // px, of the smallest cells
constexpr int kWideOctave = 17;  // log2 of the px of a reach from which on all workers share a visit
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

namespace {

// Square cells of a canvas and its margin. A visit of one may touch the region around it, up to half a cell beyond:
// those of every other cell along both axes, a colour, cannot meet.
struct Cells {
  int square, across, down;
  std::vector<std::vector<Visit>> visits;

  Cells(int square, Canvas canvas)
      : square(square),
        across((canvas.width + 2 * kMargin) / square + 1),
        down((canvas.height + 2 * kMargin) / square + 1),
        visits(static_cast<size_t>(across) * down) {}

  bool take(const Waiting& w) {
    const int column = static_cast<int>(w.mean[0] + kMargin) / square,
              row = static_cast<int>(w.mean[1] + kMargin) / square;
    const int x0 = column * square - kMargin - square / 2, y0 = row * square - kMargin - square / 2;
    const Box region{x0, y0, x0 + 2 * square, y0 + 2 * square}, &b = w.reach;
    if (b.x0 < region.x0 || b.y0 < region.y0 || b.x1 > region.x1 || b.y1 > region.y1) return false;
    visits[static_cast<size_t>(row) * across + column].push_back({w.splat, region});
    return true;
  }
  void put(Schedule* out) const {
    for (int color = 0; color < 4; ++color) {
      for (int cell = 0; cell < across * down; ++cell) {
        if ((cell % across & 1) + 2 * (cell / across & 1) != color) continue;
        const auto& line = visits[cell];
        out->visits.insert(out->visits.end(), line.begin(), line.end());
        out->end_line();
      }
      out->end_stage();
    }
  }
};

}  // namespace

Schedule in_cells(const std::vector<Waiting>& waiting, Canvas canvas) {
  constexpr Box kEverywhere{-(1 << 20), -(1 << 20), 1 << 20, 1 << 20};
  std::vector<Cells> sizes;
  for (int square = kSquare; square == kSquare || square < std::max(canvas.width, canvas.height); square *= 2)
    sizes.emplace_back(square, canvas);
  Schedule out;
  for (const Waiting& w : waiting)
    if (std::none_of(sizes.begin(), sizes.end(), [&](Cells& cells) { return cells.take(w); }))
      out.visits.push_back({w.splat, kEverywhere});
  out.end_stage();
  for (auto cells = sizes.rbegin(); cells != sizes.rend(); ++cells) cells->put(&out);
  return out;
}

namespace {

// The canvas in cells that one visit at a time may touch.
struct Shares {
  int across, down;

  explicit Shares(Canvas canvas)
      : across((canvas.width + kShared - 1) / kShared), down((canvas.height + kShared - 1) / kShared) {}
  size_t count() const { return static_cast<size_t>(across) * down; }
  // f(cell) for all that a reach touches.
  template <class F>
  void each(const Box& reach, F f) const {
    const int x1 = std::min((reach.x1 + kShared - 1) / kShared, across),
              y1 = std::min((reach.y1 + kShared - 1) / kShared, down);
    for (int y = reach.y0 / kShared; y < y1; ++y)
      for (int x = reach.x0 / kShared; x < x1; ++x) f(static_cast<size_t>(across) * y + x);
  }
};

// Fills in whom each line waits for; stages that are one visit of all workers are over before the others begin.
void link(const Shares& shares, Schedule* out) {
  std::vector<int> last(shares.count(), -1);  // the line that was last in each cell
  const int lines = static_cast<int>(out->lines.size()) - 1;
  std::vector<int> waiter(lines, -1);  // the last line that was found to wait for each
  for (int line = 0; line < lines; ++line) {
    if (line >= out->wide) {
      shares.each(out->visits[line].reach, [&](size_t cell) {
        const int before = std::exchange(last[cell], line);
        if (before < 0 || std::exchange(waiter[before], line) == line) return;
        out->awaited.push_back(before);
      });
    }
    out->waits.push_back(static_cast<int>(out->awaited.size()));
  }
}

}  // namespace

Schedule in_sets(const std::vector<Waiting>& waiting, Canvas canvas) {
  const Shares shares(canvas);
  const auto octave = [](const Waiting& w) {
    const double area = static_cast<double>(w.reach.x1 - w.reach.x0) * (w.reach.y1 - w.reach.y0);
    return static_cast<int>(std::log2(std::max(area, 1.0)));
  };
  std::vector<std::pair<int, const Waiting*>> order;
  for (const Waiting& w : waiting) order.push_back({-octave(w), &w});
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });

  Schedule out;
  size_t next = 0;
  for (; next < order.size() && order[next].first <= -kWideOctave; ++next) {
    out.visits.push_back({order[next].second->splat, order[next].second->reach});
    out.end_stage();
    ++out.wide;
  }
  std::vector<std::vector<uint64_t>> taken;  // by 64 stages: those in which each cell is
  std::vector<std::vector<Visit>> sets;
  for (; next < order.size(); ++next) {
    const Waiting& w = *order[next].second;
    size_t word = 0;
    uint64_t free = 0;
    for (;; ++word) {
      if (word == taken.size()) taken.emplace_back(shares.count(), 0);
      uint64_t used = 0;
      shares.each(w.reach, [&](size_t cell) { used |= taken[word][cell]; });
      if ((free = ~used)) break;
    }
    free &= ~free + 1;  // the lowest bit
    shares.each(w.reach, [&](size_t cell) { taken[word][cell] |= free; });
    const size_t set = 64 * word + static_cast<size_t>(std::countr_zero(free));
    if (set >= sets.size()) sets.resize(set + 1);
    sets[set].push_back({w.splat, w.reach});
  }
  for (const auto& set : sets) {
    for (const Visit& visit : set) {
      out.visits.push_back(visit);
      out.end_line();
    }
    out.end_stage();
  }
  link(shares, &out);
  return out;
}

}  // namespace splat2d
