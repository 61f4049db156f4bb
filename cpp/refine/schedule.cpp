#include "refine/schedule.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "refine/splat.hpp"

namespace splat2d {

namespace {

constexpr int kSquare = 128;     // px, of the smallest cells
constexpr float kOwn = 1 << 14;  // px that a worker of several sees to
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

// Fills in whom each line waits for.
void link(const Shares& shares, Schedule* out) {
  const int lines = static_cast<int>(out->workers.size());
  std::vector<int> last(shares.count(), -1);  // the line that was last in each cell
  std::vector<int> waiter(lines, -1);         // the last line that was found to wait for each
  std::vector<int> shared;                    // by several workers
  for (int line = 0; line < lines; ++line) {
    const auto wait = [&](int before) {
      if (before >= 0 && std::exchange(waiter[before], line) != line) out->awaited.push_back(before);
    };
    shares.each(out->visits[line].reach, [&](size_t cell) { wait(std::exchange(last[cell], line)); });
    if (out->workers[line] > 1) {
      if (shared.size() >= Precedence::kMostShared) wait(shared[shared.size() - Precedence::kMostShared]);
      shared.push_back(line);
    }
    out->waits.push_back(static_cast<int>(out->awaited.size()));
  }
}

}  // namespace

Schedule in_sets(const std::vector<Waiting>& waiting, Canvas canvas, int most) {
  const Shares shares(canvas);
  std::vector<std::pair<int, const Waiting*>> order;
  for (const Waiting& w : waiting) order.push_back({-std::ilogb(std::max(w.pixels, 1.0f)), &w});
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.first < b.first; });

  size_t words = 4;
  std::vector<uint64_t> taken(words * shares.count());  // of each cell, by bits: stages in which it is
  std::vector<uint64_t> used;
  std::vector<std::vector<const Waiting*>> sets;
  for (const auto& [octave, next] : order) {
    const Waiting& w = *next;
    used.assign(words, 0);
    shares.each(w.reach, [&](size_t cell) {
      for (size_t i = 0; i < words; ++i) used[i] |= taken[words * cell + i];
    });
    size_t word = 0;
    while (word < words && !~used[word]) ++word;
    if (word == words) {
      std::vector<uint64_t> more(2 * taken.size());
      for (size_t cell = 0; cell < shares.count(); ++cell)
        std::copy_n(&taken[words * cell], words, &more[2 * words * cell]);
      taken.swap(more);
      words *= 2;
    }
    const uint64_t free = word < used.size() ? ~used[word] & (used[word] + 1) : 1;  // the lowest bit
    shares.each(w.reach, [&](size_t cell) { taken[words * cell + word] |= free; });
    const size_t set = 64 * word + static_cast<size_t>(std::countr_zero(free));
    if (set >= sets.size()) sets.resize(set + 1);
    sets[set].push_back(&w);
  }
  Schedule out;
  for (const auto& set : sets) {
    for (const Waiting* w : set) {
      out.visits.push_back({w->splat, w->reach});
      out.end_line();
      out.workers.push_back(std::clamp(static_cast<int>(w->pixels / kOwn), 1, most));
    }
    out.end_stage();
  }
  link(shares, &out);
  return out;
}

}  // namespace splat2d
