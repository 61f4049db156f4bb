#include "model/network.hpp"

#include <algorithm>
#include <cstdlib>

#include "format/quantizer.hpp"
#include "model/context.hpp"
#include "model/split_tree.hpp"

namespace splat2d {

namespace {

constexpr int kExact = 1 << 24;
constexpr size_t kRows = 32;  // worked on at a time, so that activations stay in the cache
constexpr int kWidest = 64;   // layer
constexpr int kLeastSplit = -4 * 64, kMostSplit = 10 * 64;  // log2 of a split's parameters, Q6
constexpr int kSpread = 2 * kMostActive;                    // largest difference of two logits

class Reader {
 public:
  Reader(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  int byte() { return fits(1) ? *at_++ : 0; }
  int word() {
    uint32_t v = 0;
    for (int shift = 0; shift < 32; shift += 8) v |= static_cast<uint32_t>(byte()) << shift;
    return static_cast<int32_t>(v);
  }
  bool fits(size_t n) {
    ended_ = ended_ || static_cast<size_t>(end_ - at_) < n;
    return !ended_;
  }
  bool ended() const { return ended_; }
  bool done() const { return at_ == end_; }

 private:
  const uint8_t *at_, *end_;
  bool ended_ = false;
};

// Why a layer is none, or null.
const char* read_layer(Reader* in, int inputs, int biases, Layer* l) {
  l->inputs = inputs;
  l->biases = biases;
  l->outputs = in->byte();
  l->shift = in->byte();
  l->width = (l->outputs + 15) / 16 * 16;
  if (l->outputs < 1 || l->width > kWidest || l->shift > 8) return "the network has a bad layer";
  if (!in->fits(static_cast<size_t>(inputs) * l->outputs + 4 * static_cast<size_t>(biases) * l->outputs))
    return "the network ends early";
  l->weight.assign(static_cast<size_t>((inputs + 1) / 2) * l->width * 2, 0);
  l->bias.assign(static_cast<size_t>(biases) * l->width, 0);
  std::vector<int64_t> reach(l->outputs, 0);
  for (int i = 0; i < inputs; ++i)
    for (int o = 0; o < l->outputs; ++o) {
      const int w = static_cast<int8_t>(in->byte());
      l->weight[(static_cast<size_t>(i / 2) * l->width + o) * 2 + i % 2] = static_cast<int16_t>(w);
      reach[o] += std::abs(w) * kMostActive;
    }
  for (int b = 0; b < biases; ++b)
    for (int o = 0; o < l->outputs; ++o) {
      const int64_t v = in->word();
      if (reach[o] + std::abs(v) >= kExact) return "the network's sums are not exact";
      l->bias[static_cast<size_t>(b) * l->width + o] = static_cast<int32_t>(v);
    }
  return nullptr;
}

}  // namespace

const char* Network::read(const uint8_t* data, size_t size) {
  Reader in(data, size);
  const int heads = in.byte();
  const char* fault = nullptr;
  const auto layer = [&](int inputs, int biases, Layer* l) {
    if (!fault) fault = read_layer(&in, inputs, biases, l);
    return l->outputs;
  };
  const int second = layer(SplitTree::kInputs, kTiers, &split_[0]), third = layer(second, 1, &split_[1]);
  if (layer(third, 1, &split_[2]) != 2 && !fault) fault = "the network has a bad layer";
  const int near = layer(Context::kNearInputs, 1, &near_first_), summed = layer(near, 1, &near_last_);
  if (Context::kPlaceInputs + summed > kPlaceStride && !fault) fault = "the network has a bad layer";
  if (layer(Context::kPlaceInputs + summed, kTiers, &trunk_) != kHiddenStride && !fault)
    fault = "the network has a bad layer";
  if (heads != kHeads && !fault) fault = "the network has another number of heads";
  for (int h = 0; h < kHeads && !fault; ++h) {
    Head& head = heads_[h];
    layer(kHiddenStride + Context::kSelfInputs, Context::kLevels, &head.first);
    if (layer(head.first.outputs, 1, &head.last) != kSymbols[h] && !fault) fault = "the network has a bad layer";
  }
  if (fault) return fault;
  if (!in.done()) return "the network has bytes to spare";
  // No entry lies near a half. The first is cut to what 16 bits hold.
  for (int i = 0; i < 64; ++i)
    powers_[i] = static_cast<int16_t>(std::min<int64_t>((exp2_q16(-1024 * int64_t{i}) + 1) / 2, INT16_MAX));
  pairs_.resize(2 * kSpread + 1);
  for (int d = -kSpread; d <= kSpread; ++d) {
    const int16_t logits[2] = {static_cast<int16_t>(std::max(d, 0)), static_cast<int16_t>(std::max(-d, 0))};
    uint16_t weights[2];
    model_kernels().weigh(logits, 2, 2, powers_, weights);
    pairs_[d + kSpread] = weights[0];
  }
  // The half turn has 64 n units: angle t of n has 64 of them around its own, a sector 2 n.
  constexpr int kSectors = 32;
  for (int n = 2; n <= kSectors; ++n)
    for (int t = 0; t < n; ++t) {
      const int begin = (2 * t - 1) * kSectors, end = (2 * t + 1) * kSectors;
      for (int s = static_cast<int>(floor_div(begin + n, 2 * n)); (2 * s - 1) * n < end; ++s) {
        const int overlap = std::min(end, (2 * s + 1) * n) - std::max(begin, (2 * s - 1) * n);
        if (overlap > 0)
          overlaps_[n].push_back({static_cast<uint8_t>(t), static_cast<uint8_t>((s + kSectors) % kSectors),
                                  static_cast<uint8_t>(overlap)});
      }
    }
  return nullptr;
}

void Network::weigh_pair(int larger, uint16_t* weights) const {
  weights[0] = pairs_[larger + kSpread];
  weights[1] = static_cast<uint16_t>(65536 - weights[0]);
}

void Network::weigh_angles(const int16_t* logits, int count, uint16_t* weights) const {
  uint16_t sectors[kMostSymbols];
  constexpr int kAngle = 6;
  weigh(kAngle, logits, kMostSymbols, sectors);
  int32_t shares[kMostSymbols] = {};
  for (const Overlap& o : overlaps_[count]) shares[o.angle] += o.width * sectors[o.sector];
  model_kernels().normalise(shares, count, weights);
}

void Network::run(const Layer& layer, const int16_t* x, size_t stride, const int32_t* index, size_t rows, int low,
                  int16_t* y) {
  const DenseRows all{x, stride, (layer.inputs + 1) / 2};
  model_kernels().dense(layer.dense(), all, {}, index, rows, low, y, layer.width);
}

void Network::split(const int16_t* inputs, size_t n, int tier, int16_t* logs) const {
  int32_t index[kRows];
  std::fill_n(index, kRows, tier);
  int16_t x[kRows * kWidest], y[kRows * kWidest];
  for (size_t begin = 0; begin < n; begin += kRows) {
    const size_t rows = std::min(kRows, n - begin);
    run(split_[0], inputs + begin * kSplitStride, kSplitStride, index, rows, 0, x);
    run(split_[1], x, split_[0].width, nullptr, rows, 0, y);
    run(split_[2], y, split_[1].width, nullptr, rows, kLeastSplit, x);
    for (size_t i = 0; i < rows; ++i)
      for (int half = 0; half < 2; ++half)
        logs[2 * (begin + i) + half] = std::min<int16_t>(x[i * split_[2].width + half], kMostSplit);
  }
}

// By integer recurrences outwards from the mode. Products stay below 2^51, so that cutting the double quotient is the
// exact floor.
void Network::split_weights(int64_t count, int first, int second, uint16_t* weights) const {
  if (count == 1) return weigh_pair(second - first, weights);
  const auto parameter = [](int log) {  // in 1/256
    return static_cast<int32_t>(exp2_q16(static_cast<int64_t>(log) * 1024) >> 8);
  };
  const auto ratio = [](int32_t f, int32_t above, int32_t below) {
    constexpr double kMost = 1 << 24;
    return static_cast<int32_t>(
        std::min(static_cast<double>(f) * static_cast<double>(above) / static_cast<double>(below), kMost));
  };
  const int32_t n = static_cast<int32_t>(count), alpha = parameter(first), beta = parameter(second);
  const int32_t mode = static_cast<int32_t>(count * alpha / (alpha + beta));
  int32_t f[SplitTree::kLargestTable + 1];
  f[mode] = 1 << 20;
  for (int32_t k = mode; k < n; ++k)
    f[k + 1] = ratio(f[k], (n - k) * (256 * k + alpha), (k + 1) * (256 * (n - k - 1) + beta));
  for (int32_t k = mode; k > 0; --k)
    f[k - 1] = ratio(f[k], k * (256 * (n - k) + beta), (n - k + 1) * (256 * (k - 1) + alpha));
  model_kernels().normalise(f, n + 1, weights);
}

void Network::embed(int16_t* place, const int16_t* near, const uint8_t* counts, size_t n, int tier,
                    int16_t* hidden) const {
  constexpr int K = Context::kNear, P = Context::kPlaceInputs;
  const int summed = near_last_.outputs, width = near_last_.width;
  int32_t index[kRows];
  std::fill_n(index, kRows, tier);
  int16_t x[kRows * K * kWidest], y[kRows * K * kWidest];
  for (size_t begin = 0; begin < n; begin += kRows) {
    const size_t rows = std::min(kRows, n - begin);
    run(near_first_, near + begin * K * kNearStride, kNearStride, nullptr, rows * K, 0, x);
    run(near_last_, x, near_first_.width, nullptr, rows * K, 0, y);
    for (size_t i = 0; i < rows; ++i) {
      int32_t sums[kWidest] = {};
      for (int j = 0; j < counts[begin + i]; ++j)
        for (int o = 0; o < summed; ++o) sums[o] += y[(i * K + j) * width + o];
      int16_t* row = place + (begin + i) * kPlaceStride;
      for (int o = 0; o < summed; ++o) row[P + o] = static_cast<int16_t>(std::min(sums[o], kMostActive));
    }
    run(trunk_, place + begin * kPlaceStride, kPlaceStride, index, rows, 0, hidden + begin * kHiddenStride);
  }
}

void Network::logits(int head, const int16_t* hidden, const int32_t* of, const int16_t* self, const int32_t* own,
                     const int32_t* levels, size_t n, int16_t* out) const {
  const Layer &a = heads_[head].first, &b = heads_[head].last;
  const auto dense = model_kernels().dense;
  int16_t x[kRows * kWidest];
  for (size_t begin = 0; begin < n; begin += kRows) {
    const size_t rows = std::min(kRows, n - begin);
    dense(a.dense(), {hidden, kHiddenStride, kHiddenStride / 2, of + begin},
          {self, kSelfStride, kSelfStride / 2, own + begin}, levels + begin, rows, 0, x, a.width);
    dense(b.dense(), {x, static_cast<size_t>(a.width), (b.inputs + 1) / 2}, {}, nullptr, rows, -kMostActive,
          out + begin * kMostSymbols, kMostSymbols);
  }
}

void Network::weigh(int head, const int16_t* logits, int limit, uint16_t* weights) const {
  const int symbols = kSymbols[head];
  if (symbols == 2) return weigh_pair(logits[0] - logits[1], weights);
  model_kernels().weigh(logits, std::min(limit, symbols), symbols, powers_, weights);
}

}  // namespace splat2d
