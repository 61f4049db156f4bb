// The order in which the integers of a field's splats are coded, tier by tier and plane by plane: one definition for
// both directions, and docs/FORMAT.md, section 5, in code.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <vector>

#include "math/workers.hpp"
#include "model/coders.hpp"
#include "model/context.hpp"
#include "model/courses.hpp"
#include "model/disparities.hpp"
#include "model/network.hpp"
#include "model/split_tree.hpp"
#include "model/tokens.hpp"

namespace splat2d {

// What a file says of a field before the first of its splats.
struct FieldLayout {
  Canvas canvas;  // of the world that a clip's segment shows
  int channels, chroma_step, step_code;
  int frames = 0;                        // of a segment; 0 where splats have no course
  Eyes eyes{};                           // of a light field
  std::array<int64_t, kTiers> counts{};  // splats in each tier

  // Of a splat: colours, area, aspect, angle, iy, ix, and duration, time, vy, vx of a course in time, or a disparity.
  int columns() const { return channels + (frames ? kMovingFields : eyes.views ? kViewFields : 5); }
};

// A splat's centre.
inline Center center_of(const int32_t* q, const ColorSteps& steps) {
  const int C = steps.channels;
  const Lattice l = make_lattice(energy_class(q, steps), q[C], q[C + 1], q[C + 2]);
  return {l.x(q[C + 4], q[C + 3]), l.y(q[C + 3])};
}

inline const char* kNoSymbol = "no symbol fits the range coder's state";

template <class Coder>
class Traversal {
 public:
  Traversal(const Network& network, const FieldLayout& layout, const Workers& workers, Tap* tap = nullptr)
      : network_(network),
        layout_(layout),
        steps_(color_steps(layout.channels, layout.chroma_step)),
        workers_(workers),
        tap_(tap),
        watched_(tap && tap->sees_inputs()),
        context_(static_cast<int64_t>(layout.canvas.width) * layout.canvas.height, layout.frames, steps_,
                 layout.step_code, layout.counts) {
    if (layout.frames) courses_.emplace(steps_, layout.frames);
    if (layout.eyes.views) disparities_.emplace(steps_, layout.eyes);
  }

  // The same for splats that know of some of those before, in their order.
  Traversal of(const std::vector<int32_t>& known, const Workers& workers) const {
    Traversal out(network_, layout_, workers, tap_);
    out.context_ = context_.of(known);
    out.courses_ = courses_;
    if (disparities_) out.disparities_ = disparities_->of(known);
    return out;
  }

  // Codes the splats of a tier in a cell, rows [count, columns] of integers: filled in when decoding, brought into
  // coding order when encoding. Returns why they are damaged, or null.
  const char* code(Coder& coder, int tier, const Cell& root, int64_t count, int32_t* splats) {
    if (count == 0) return nullptr;
    begin_tree(tier, root, count, splats);
    if (const char* fault = code_tree(coder, tier)) return fault;
    const std::vector<Leaf> leaves = tree_.leaves();
    if (!Coder::kDecodes) sort(tree_.order(), splats);
    const std::vector<Surroundings> near = surroundings(leaves, tree_.leaf_size(), tier, workers_);
    std::vector<int32_t> leaf_of;
    for (size_t i = 0; i < leaves.size(); ++i) leaf_of.insert(leaf_of.end(), leaves[i].count, static_cast<int32_t>(i));
    // The second half of the splats has the first as neighbours.
    for (int batch = 0; batch < kBatches; ++batch) {
      begin_batch(batch, leaf_of, splats);
      if (splats_.empty()) continue;
      if (const char* fault = code_batch(coder, tier, leaves, near, tree_.leaf_size())) return fault;
    }
    return nullptr;
  }

  // Makes room for so many more splats.
  void expect(size_t splats) { context_.expect(splats); }
  const Context& context() const { return context_; }

 private:
  static constexpr int kBatches = 2;
  static constexpr int kSectors = 32;  // of the half turn, coded before the remainder of a fine angle
  static constexpr int64_t kMostPoints = int64_t{1} << kPrecision;
  static constexpr size_t kBlock = 512, kPart = 64;  // rows of weights at a time, and by one worker
  static constexpr int kSymbols = Network::kMostSymbols;
  static constexpr int64_t kSplitSymbols = 8;  // of splits whose weights are worked out by all workers: most of them
  enum Head { kLuma, kChroma1, kChroma2, kAlpha, kArea, kAspect, kAngle, kSign0, kSignAlpha = kSign0 + 3 };

  // Positions

  void begin_tree(int tier, const Cell& root, int64_t count, const int32_t* splats) {
    int64_t all = 0;
    for (const int64_t n : layout_.counts) all += n;
    std::vector<Center> earlier, given;
    size_t older = 0;
    for (size_t i = 0; i < context_.size(); ++i)
      if (root.holds(context_.x(i), context_.y(i))) {
        earlier.push_back({context_.x(i), context_.y(i)});
        older += context_.tier(i) < tier - 1;
      }
    if (!Coder::kDecodes)
      for (int64_t i = 0; i < count; ++i) given.push_back(center_of(splats + i * layout_.columns(), steps_));
    tree_.begin({layout_.canvas, tier, layout_.step_code, layout_.counts[tier], all}, root, count, earlier, older,
                Coder::kDecodes ? nullptr : given.data());
  }

  const char* code_tree(Coder& coder, int tier) {
    uint16_t weights[SplitTree::kLargestTable + 1];
    while (tree_.next_level()) {
      for (size_t block = 0; block < tree_.open(); block += kBlock) {
        const size_t n = std::min(kBlock, tree_.open() - block);
        weigh_splits(tier, block, n);
        for (size_t i = 0; i < n; ++i) {
          const int64_t count = tree_.count(block + i);
          int64_t first = tree_.first(block + i);
          if (count > SplitTree::kLargestTable) {
            first = coder.uniform(Attribute::kPosition, count + 1, first);
          } else {
            const uint16_t* ready = &split_weights_[i * kSplitSymbols];
            if (count >= kSplitSymbols) network_.split_weights(count, logs_[2 * i], logs_[2 * i + 1], weights);
            first = coder.symbol(Attribute::kPosition, count < kSplitSymbols ? ready : weights,
                                 static_cast<int>(count) + 1, static_cast<int>(first));
          }
          tree_.set_first(block + i, first);
        }
      }
      if (coder.damaged()) return kNoSymbol;
      tree_.finish_level();
    }
    return nullptr;
  }

  // What is known of so many splits, up to their weights where these are few.
  void weigh_splits(int tier, size_t block, size_t n) {
    constexpr int kStride = Network::kSplitStride;
    inputs_.resize(n * kStride);
    logs_.resize(2 * n);
    split_weights_.resize(n * kSplitSymbols);
    if (watched_) {
      tree_.put_inputs(block, n, inputs_.data());
      tap_->split(tier, inputs_.data(), n);
    }
    workers_.parts(n, 2 * kPart, [&](size_t begin, size_t end) {
      if (!watched_) tree_.put_inputs(block + begin, end - begin, &inputs_[begin * kStride]);
      network_.split(&inputs_[begin * kStride], end - begin, tier, &logs_[2 * begin]);
      for (size_t i = begin; i < end; ++i)
        if (const int64_t count = tree_.count(block + i); count < kSplitSymbols)
          network_.split_weights(count, logs_[2 * i], logs_[2 * i + 1], &split_weights_[i * kSplitSymbols]);
    });
  }

  void sort(const std::vector<int32_t>& order, int32_t* splats) const {
    const int columns = layout_.columns();
    std::vector<int32_t> sorted;
    sorted.reserve(order.size() * columns);
    for (const int32_t i : order) sorted.insert(sorted.end(), splats + i * columns, splats + (i + 1) * columns);
    std::copy(sorted.begin(), sorted.end(), splats);
  }

  // Batches

  void begin_batch(int batch, const std::vector<int32_t>& leaf_of, int32_t* splats) {
    splats_.clear();
    used_.clear();
    of_.clear();
    for (size_t i = batch; i < leaf_of.size(); i += kBatches) {
      splats_.push_back(splats + i * layout_.columns());
      if (used_.empty() || used_.back() != leaf_of[i]) used_.push_back(leaf_of[i]);
      of_.push_back(static_cast<int32_t>(used_.size()) - 1);
    }
  }

  const char* code_batch(Coder& coder, int tier, const std::vector<Leaf>& all, const std::vector<Surroundings>& near,
                         LeafSize size) {
    std::vector<Leaf> leaves;
    std::vector<Surroundings> around;
    for (const int32_t leaf : used_) {
      leaves.push_back(all[leaf]);
      around.push_back(near[leaf]);
    }
    if (tap_) tap_->batch(tier, splats_);
    embed(leaves, around, size, tier);
    self_.assign(splats_.size() * Network::kSelfStride, 0);
    levels_.assign(splats_.size(), 0);
    classes_.resize(splats_.size());
    forms_.resize(splats_.size());
    const char* fault = magnitudes(coder);
    if (!fault) fault = shapes(coder, tier);
    if (!fault) fault = angles(coder);
    if (!fault) fault = centers(coder, leaves, size);
    if (!fault) fault = signs(coder);
    if (!fault && courses_) fault = courses_->code(coder, splats_);
    if (!fault && disparities_) fault = disparities_->code(coder, splats_);
    if (!fault && Coder::kDecodes) fault = check_batch();
    if (!fault) context_.add(splats_, forms_, tier, workers_);
    return fault;
  }

  // Hidden states of leaves.
  void embed(const std::vector<Leaf>& leaves, const std::vector<Surroundings>& around, LeafSize size, int tier) {
    constexpr int kPlace = Network::kPlaceStride, kNear = Context::kNear * Network::kNearStride;
    hidden_.resize(leaves.size() * Network::kHiddenStride);
    const View view(context_, size, tier);
    workers_.parts(leaves.size(), watched_ ? leaves.size() : kPart, [&](size_t begin, size_t end) {
      const size_t n = end - begin;
      std::vector<int16_t> place(n * kPlace), near(n * kNear);
      std::vector<uint8_t> counts(n);
      Nearest nearest;
      for (size_t i = 0; i < n; ++i)
        counts[i] = static_cast<uint8_t>(
            view.look(leaves[begin + i], around[begin + i], &nearest, &place[i * kPlace], &near[i * kNear]));
      if (watched_) tap_->embed(tier, place.data(), near.data(), counts.data(), n);
      network_.embed(place.data(), near.data(), counts.data(), n, tier, &hidden_[begin * Network::kHiddenStride]);
    });
  }

  int16_t* self(size_t i) { return &self_[i * Network::kSelfStride]; }

  // Rows of weights of splats' next symbols. limit: splat -> symbols from which on none can occur, or
  // weigh: splat, logits, weights; use: splat, weights.
  template <class Weigh, class Use>
  void rows(int head, const std::vector<int32_t>& chosen, Weigh weigh, Use use) {
    constexpr int kSelf = Network::kSelfStride;
    std::array<int32_t, kBlock> of, own, levels;
    weights_.resize(kBlock * kSymbols);
    for (size_t begin = 0; begin < chosen.size(); begin += kBlock) {
      const size_t n = std::min(kBlock, chosen.size() - begin);
      const int32_t* which = &chosen[begin];
      for (size_t i = 0; i < n; ++i) {
        of[i] = of_[which[i]];
        levels[i] = levels_[which[i]];
      }
      const int16_t* selves = self_.data();
      if (watched_) {
        tapped_.resize(n * kSelf);
        for (size_t i = 0; i < n; ++i) std::copy_n(self(which[i]), kSelf, &tapped_[i * kSelf]);
        tap_->rows(head, of.data(), tapped_.data(), levels.data(), n);
        selves = tapped_.data();
        std::iota(own.begin(), own.begin() + n, 0);
      } else {
        std::copy_n(which, n, own.begin());
      }
      workers_.parts(n, kPart, [&](size_t first, size_t end) {
        int16_t logits[kPart * kSymbols];
        network_.logits(head, hidden_.data(), &of[first], selves, &own[first], &levels[first], end - first, logits);
        for (size_t i = first; i < end; ++i) weigh(which[i], logits + (i - first) * kSymbols, &weights_[i * kSymbols]);
      });
      for (size_t i = 0; i < n; ++i) use(which[i], &weights_[i * kSymbols]);
    }
  }

  const std::vector<int32_t>& all() {
    all_.resize(splats_.size());
    std::iota(all_.begin(), all_.end(), 0);
    return all_;
  }

  // Integers from 0 to 65535 of all splats: tokens by the network, then raw bits. value: splat -> integer;
  // limit: splat -> tokens from which on none can occur.
  template <class Value, class Limit, class Put>
  void integers(Coder& coder, Attribute attribute, int head, Value value, Limit limit, Put put) {
    tokens_.resize(splats_.size());
    const auto weigh = [&](int32_t i, const int16_t* logits, uint16_t* weights) {
      network_.weigh(head, logits, limit(i), weights);
    };
    const int symbols = Network::kSymbols[head];
    rows(head, all(), weigh, [&](int32_t i, const uint16_t* weights) {
      tokens_[i] = coder.symbol(attribute, weights, symbols, Coder::kDecodes ? 0 : to_token(value(i)).token);
    });
    for (size_t i = 0; i < splats_.size(); ++i) {
      const int64_t raw = Coder::kDecodes ? 0 : to_token(value(i)).raw;
      put(i, from_token(tokens_[i], coder.uniform(attribute, int64_t{1} << token_bits(tokens_[i]), raw)));
    }
  }

  // Colour magnitudes first: all steps follow from them.
  const char* magnitudes(Coder& coder) {
    const int C = layout_.channels;
    for (int c = 0; c < C; ++c) {
      if (c)
        for (size_t i = 0; i < splats_.size(); ++i)
          context_.learn_magnitude(c - 1, std::abs(splats_[i][c - 1]), self(i));
      const int slot = context_.slot(c);
      const Attribute attribute = slot == 0 ? Attribute::kLuma : slot == 3 ? Attribute::kAlpha : Attribute::kChroma;
      integers(
          coder, attribute, kLuma + slot, [&](size_t i) { return std::abs(splats_[i][c]); },
          [](size_t) { return kSymbols; },
          [&](size_t i, int64_t value) {
            if (Coder::kDecodes) splats_[i][c] = static_cast<int32_t>(value);
          });
    }
    if (coder.damaged()) return kNoSymbol;
    for (size_t i = 0; i < splats_.size(); ++i) {
      const int32_t* q = splats_[i];
      const auto zero = [](int32_t v) { return v == 0; };
      if (std::all_of(q, q + C, zero) || std::any_of(q, q + C, [](int32_t v) { return std::abs(v) > kMaxColor; }))
        return "a splat's colour is zero or out of range";
      classes_[i] = energy_class(q, steps_);
      context_.learn_magnitude(C - 1, std::abs(q[C - 1]), self(i));
      levels_[i] = Context::level(classes_[i]);
    }
    return nullptr;
  }

  // Area within the tier's range, then aspect.
  const char* shapes(Coder& coder, int tier) {
    const int C = layout_.channels;
    const size_t n = splats_.size();
    lows_.resize(n);
    counts_.resize(n);
    for (size_t i = 0; i < n; ++i) {
      int low, high;
      area_range(classes_[i], tier, &low, &high);
      lows_[i] = low;
      counts_[i] = high - low + 1;
    }
    integers(
        coder, Attribute::kArea, kArea, [&](size_t i) { return splats_[i][C] - lows_[i]; },
        // Tokens beyond kDirect stand for several areas, so they are not ruled out.
        [&](size_t i) { return counts_[i] <= kDirect ? counts_[i] : kSymbols; },
        [&](size_t i, int64_t value) { splats_[i][C] = lows_[i] + static_cast<int32_t>(value); });
    for (size_t i = 0; i < n; ++i) {
      if (splats_[i][C] - lows_[i] >= counts_[i]) return "an area is outside its tier";
      context_.learn_area(classes_[i], splats_[i][C], tier, self(i));
    }
    integers(
        coder, Attribute::kAspect, kAspect, [&](size_t i) { return splats_[i][C + 1]; },
        [](size_t) { return kSymbols; },
        [&](size_t i, int64_t value) { splats_[i][C + 1] = static_cast<int32_t>(value); });
    if (coder.damaged()) return kNoSymbol;
    for (size_t i = 0; i < n; ++i) {
      if (!shape_in_range(classes_[i], splats_[i][C], splats_[i][C + 1])) return "a shape is out of range";
      context_.learn_aspect(classes_[i], splats_[i][C + 1], self(i));
    }
    return nullptr;
  }

  // Angle indices: directly where there are few, else a sector and its remainder.
  const char* angles(Coder& coder) {
    const int C = layout_.channels;
    const size_t n = splats_.size();
    few_.clear();
    many_.clear();
    counts_.resize(n);
    for (size_t i = 0; i < n; ++i) {
      counts_[i] = angle_count(classes_[i], splats_[i][C + 1]);
      if (counts_[i] > kSectors)
        many_.push_back(static_cast<int32_t>(i));
      else if (counts_[i] > 1)
        few_.push_back(static_cast<int32_t>(i));
      else if (Coder::kDecodes)
        splats_[i][C + 2] = 0;
    }
    const auto fold = [&](int32_t i, const int16_t* logits, uint16_t* weights) {
      network_.weigh_angles(logits, counts_[i], weights);
    };
    rows(kAngle, few_, fold, [&](int32_t i, const uint16_t* weights) {
      splats_[i][C + 2] = coder.symbol(Attribute::kAngle, weights, counts_[i], splats_[i][C + 2]);
    });
    tokens_.resize(n);
    const auto weigh = [&](int32_t, const int16_t* logits, uint16_t* weights) {
      network_.weigh(kAngle, logits, kSymbols, weights);
    };
    rows(kAngle, many_, weigh, [&](int32_t i, const uint16_t* weights) {
      const int64_t count = counts_[i], angle = splats_[i][C + 2];
      const int64_t sector = Coder::kDecodes ? 0 : (2 * kSectors * angle + count) / (2 * count) % kSectors;
      tokens_[i] = coder.symbol(Attribute::kAngle, weights, kSectors, static_cast<int>(sector));
    });
    for (const int32_t i : many_) {
      // Sector s holds the indices t from start on with round(kSectors t / count) = s modulo kSectors.
      const int64_t count = counts_[i], sector = tokens_[i];
      const int64_t start = -floor_div(count - 2 * count * sector, 2 * kSectors);
      const int64_t size = -floor_div(count - 2 * count * (sector + 1), 2 * kSectors) - start;
      const int64_t rest = Coder::kDecodes ? 0 : (splats_[i][C + 2] - start + count) % count;
      splats_[i][C + 2] = static_cast<int32_t>((start + count + coder.uniform(Attribute::kAngle, size, rest)) % count);
    }
    for (size_t i = 0; i < n; ++i) {
      forms_[i].direction = direction_of(splats_[i][C + 2], counts_[i]);
      context_.learn_angle(classes_[i], splats_[i][C + 1], forms_[i].direction, self(i));
    }
    return coder.damaged() ? kNoSymbol : nullptr;
  }

  // The lattice point inside the leaf.
  const char* centers(Coder& coder, const std::vector<Leaf>& leaves, LeafSize size) {
    const int C = layout_.channels;
    const auto box_of = [&](size_t i) -> CellBox {
      const Leaf& leaf = leaves[of_[i]];
      return {leaf.x, leaf.y, leaf.x + size.width, leaf.y + size.height};
    };
    inside_.resize(std::min(kBlock, splats_.size()));
    for (size_t block = 0; block < splats_.size(); block += kBlock) {
      const size_t n = std::min(kBlock, splats_.size() - block);
      workers_.parts(n, kPart, [&](size_t begin, size_t end) {
        for (size_t i = block + begin; i < block + end; ++i) {
          const int32_t* q = splats_[i];
          Form& form = forms_[i];
          form.energy_class = classes_[i];
          form.lattice = make_lattice(form.energy_class, spread_of(form.energy_class, q[C], q[C + 1], form.direction));
          inside_[i - block] = PointsInCell(form.lattice, box_of(i));
        }
      });
      for (size_t i = block; i < block + n; ++i) {
        int32_t* q = splats_[i];
        const PointsInCell& inside = inside_[i - block];
        const CellBox box = box_of(i);
        const Lattice& lattice = forms_[i].lattice;
        if (inside.count() < 1 || inside.count() > kMostPoints) return "a cell without a position for its splat";
        const int64_t given = Coder::kDecodes ? 0 : lattice_index(lattice, box, q[C + 4], q[C + 3]);
        const int64_t index = coder.uniform(Attribute::kPosition, inside.count(), given);
        if (!Coder::kDecodes) continue;
        int64_t ix = 0, iy = 0;
        if (!inside.at(lattice, box, index, &ix, &iy)) return "no such lattice point";
        if (!on_canvas(lattice, layout_.canvas, iy, ix)) return "a centre is beyond the margin";
        if (ix != static_cast<int32_t>(ix) || iy != static_cast<int32_t>(iy)) return "a centre leaves 32 bits";
        q[C + 3] = static_cast<int32_t>(iy);
        q[C + 4] = static_cast<int32_t>(ix);
      }
    }
    return coder.damaged() ? kNoSymbol : nullptr;
  }

  // Signs, last: neighbours and the components before tell most of them.
  const char* signs(Coder& coder) {
    const int C = layout_.channels;
    for (int c = 0; c < C; ++c) {
      few_.clear();
      for (size_t i = 0; i < splats_.size(); ++i) {
        if (c) context_.learn_sign(c - 1, splats_[i][c - 1], self(i));
        if (splats_[i][c]) few_.push_back(static_cast<int32_t>(i));
      }
      const int head = context_.slot(c) == 3 ? kSignAlpha : kSign0 + c;
      const auto weigh = [&](int32_t, const int16_t* logits, uint16_t* weights) {
        network_.weigh(head, logits, kSymbols, weights);
      };
      rows(head, few_, weigh, [&](int32_t i, const uint16_t* weights) {
        const int negative = coder.symbol(Attribute::kSign, weights, 2, splats_[i][c] < 0);
        if (Coder::kDecodes && negative) splats_[i][c] = -splats_[i][c];
      });
    }
    return coder.damaged() ? kNoSymbol : nullptr;
  }

  const char* check_batch() const {
    if (layout_.frames)
      for (size_t i = 0; i < splats_.size(); ++i)
        if (!moving_in_range(classes_[i], layout_.canvas, splats_[i] + layout_.channels, layout_.frames))
          return "a splat goes where none can";
    return nullptr;
  }

  const Network& network_;
  FieldLayout layout_;
  ColorSteps steps_;
  const Workers& workers_;
  Tap* tap_;
  bool watched_;  // by a tap that sees inputs
  Context context_;
  std::optional<Courses> courses_;
  std::optional<Disparities> disparities_;
  SplitTree tree_;

  // Of the batch: its splats, the leaves that hold them and which of those holds each.
  std::vector<int32_t*> splats_;
  std::vector<int32_t> used_, of_;
  std::vector<int16_t> hidden_, self_, tapped_, inputs_, logs_;
  std::vector<Form> forms_;
  std::vector<PointsInCell> inside_;
  std::vector<int32_t> levels_, classes_, tokens_, lows_, counts_, few_, many_, all_;
  std::vector<uint16_t> weights_, split_weights_;
};

}  // namespace splat2d
