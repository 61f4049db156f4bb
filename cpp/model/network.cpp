#include "model/network.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "math/kernels.hpp"
#include "model/context.hpp"
#include "model/split_tree.hpp"

namespace splat2d {

namespace {

constexpr int kExact = 1 << 24;  // integers below it are exact in float
constexpr size_t kRows = 32;     // rows worked on at a time, so that activations stay in the cache
constexpr float kLeastSplit = -4 * 64, kMostSplit = 10 * 64;  // log2 of a split's parameters, Q6
constexpr int kSpread = 2 * kMostActive;                      // largest difference of two logits

class Reader {
 public:
  Reader(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  int byte() { return *take(1); }
  int word() {
    const uint8_t* p = take(4);
    return static_cast<int32_t>(p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24);
  }
  const uint8_t* take(size_t n) {
    if (static_cast<size_t>(end_ - at_) < n) throw std::invalid_argument("the network ends early");
    at_ += n;
    return at_ - n;
  }
  bool done() const { return at_ == end_; }

 private:
  const uint8_t *at_, *end_;
};

// Layers whose output is not a logit are cut at zero.
Layer read_layer(Reader* in, int inputs, int biases) {
  Layer l;
  l.inputs = inputs;
  l.biases = biases;
  l.outputs = in->byte();
  l.shift = in->byte();
  l.width = (l.outputs + 15) / 16 * 16;
  if (l.outputs < 1 || l.shift > 8) throw std::invalid_argument("the network has a bad layer");
  l.weight.assign(static_cast<size_t>(inputs) * l.width, 0.0f);
  l.bias.assign(static_cast<size_t>(biases) * l.width, 0.0f);
  std::vector<int64_t> reach(l.outputs, 0);
  for (int i = 0; i < inputs; ++i)
    for (int o = 0; o < l.outputs; ++o) {
      const int w = static_cast<int8_t>(in->byte());
      l.weight[static_cast<size_t>(i) * l.width + o] = static_cast<float>(w);
      reach[o] += std::abs(w) * kMostActive;
    }
  for (int b = 0; b < biases; ++b)
    for (int o = 0; o < l.outputs; ++o) {
      const int64_t v = in->word();
      if (reach[o] + std::abs(v) >= kExact) throw std::invalid_argument("the network's sums are not exact");
      l.bias[static_cast<size_t>(b) * l.width + o] = static_cast<float>(v);
    }
  return l;
}

// Weights of differences to the largest logit, in Q16: 2^(-d / 64).
const int32_t* weight_table() {
  static const auto table = [] {
    std::vector<int32_t> t(kSpread + 1);
    for (int d = 0; d <= kSpread; ++d) t[d] = static_cast<int32_t>(exp2_q16(-static_cast<int64_t>(d) * 1024));
    return t;
  }();
  return table.data();
}

}  // namespace

Network::Network(const uint8_t* data, size_t size) {
  Reader in(data, size);
  const int heads = in.byte();
  split_[0] = read_layer(&in, SplitTree::kInputs, kTiers);
  split_[1] = read_layer(&in, split_[0].outputs, 1);
  split_[2] = read_layer(&in, split_[1].outputs, 1);
  if (split_[2].outputs != 2) throw std::invalid_argument("the network has a bad layer");
  near_first_ = read_layer(&in, Context::kNearInputs, 1);
  near_last_ = read_layer(&in, near_first_.outputs, 1);
  trunk_ = read_layer(&in, Context::kPlaceInputs + near_last_.outputs, kTiers);
  for (int h = 0; h < heads; ++h) {
    Head head;
    head.first = read_layer(&in, trunk_.outputs + Context::kSelfInputs, Context::kLevels);
    head.last = read_layer(&in, head.first.outputs, 1);
    heads_.push_back(std::move(head));
  }
  if (!in.done()) throw std::invalid_argument("the network has bytes to spare");
}

void Network::split(const float* inputs, size_t n, int tier, int threads, int64_t* alpha, int64_t* beta) const {
  const auto dense = kernels().dense;
  const std::vector<int32_t> index(kRows, tier);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && n >= kManyRows)
  for (size_t begin = 0; begin < n; begin += kRows) {
    thread_local std::vector<float> x, y, z;
    x.resize(kRows * split_[0].width);
    y.resize(kRows * split_[1].width);
    z.resize(kRows * split_[2].width);
    const size_t rows = std::min(kRows, n - begin);
    dense(split_[0].dense(), inputs + begin * SplitTree::kInputs, index.data(), rows, SplitTree::kInputs, 0, x.data());
    dense(split_[1].dense(), x.data(), nullptr, rows, split_[0].width, 0, y.data());
    dense(split_[2].dense(), y.data(), nullptr, rows, split_[1].width, kLeastSplit, z.data());
    for (size_t i = 0; i < rows; ++i) {
      const float* logs = &z[i * split_[2].width];
      alpha[begin + i] = exp2_q16(static_cast<int64_t>(std::min(logs[0], kMostSplit)) << 10) >> 8;
      beta[begin + i] = exp2_q16(static_cast<int64_t>(std::min(logs[1], kMostSplit)) << 10) >> 8;
    }
  }
}

void Network::embed(const float* place, const float* near, size_t n, int tier, int threads, float* out) const {
  constexpr int K = Context::kNear, P = Context::kPlaceInputs, F = Context::kNearInputs;
  const auto dense = kernels().dense;
  const int inputs = trunk_.inputs, summed = near_last_.outputs;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && n >= kManyRows)
  for (size_t begin = 0; begin < n; begin += kRows) {
    const size_t rows = std::min(kRows, n - begin);
    std::vector<float> first(rows * K * near_first_.width), last(rows * K * near_last_.width), x(rows * inputs),
        y(rows * trunk_.width);
    const float* from = near + begin * K * F;
    dense(near_first_.dense(), from, nullptr, rows * K, F, 0, first.data());
    dense(near_last_.dense(), first.data(), nullptr, rows * K, near_first_.width, 0, last.data());
    for (size_t i = 0; i < rows; ++i) {
      float* row = &x[i * inputs];
      std::copy_n(place + (begin + i) * P, P, row);
      for (int j = 0; j < K; ++j) {
        if (from[(i * K + j) * F] == 0) break;  // no more neighbours
        const float* part = &last[(i * K + j) * near_last_.width];
        for (int o = 0; o < summed; ++o) row[P + o] += part[o];
      }
      for (int o = 0; o < summed; ++o) row[P + o] = std::min(row[P + o], static_cast<float>(kMostActive));
    }
    const std::vector<int32_t> index(rows, tier);
    dense(trunk_.dense(), x.data(), index.data(), rows, inputs, 0, y.data());
    for (size_t i = 0; i < rows; ++i)
      std::copy_n(&y[i * trunk_.width], trunk_.outputs, out + (begin + i) * trunk_.outputs);
  }
}

void Network::rows(int head, const float* hidden, const float* self, const int32_t* levels, const int64_t* limits,
                   size_t n, int threads, double* out) const {
  constexpr int S = Context::kSelfInputs;
  const Layer &a = heads_[head].first, &b = heads_[head].last;
  const int H = trunk_.outputs, symbols = b.outputs;
  const auto dense = kernels().dense;
  const int32_t* table = weight_table();
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && n >= kManyRows)
  for (size_t begin = 0; begin < n; begin += kRows) {
    thread_local std::vector<float> x, y, z;
    thread_local std::vector<int32_t> weights;
    x.resize(kRows * a.inputs);
    y.resize(kRows * a.width);
    z.resize(kRows * b.width);
    weights.resize(symbols);
    const size_t rows = std::min(kRows, n - begin);
    for (size_t i = 0; i < rows; ++i) {
      std::copy_n(hidden + (begin + i) * H, H, &x[i * a.inputs]);
      std::copy_n(self + (begin + i) * S, S, &x[i * a.inputs + H]);
    }
    dense(a.dense(), x.data(), levels + begin, rows, a.inputs, 0, y.data());
    dense(b.dense(), y.data(), nullptr, rows, a.width, -kMostActive, z.data());
    for (size_t i = 0; i < rows; ++i) {
      const float* logits = &z[i * b.width];
      const int count = limits ? static_cast<int>(std::min<int64_t>(limits[begin + i], symbols)) : symbols;
      kernels().weights_of(logits, count, symbols, table, weights.data());
      kernels().normalise(weights.data(), symbols, out + (begin + i) * symbols);
    }
  }
}

void fold_angles(const double* rows, const int32_t* counts, size_t n, int symbols, double* out) {
  std::vector<int64_t> sums(symbols);
  std::vector<int32_t> weights(symbols);
  for (size_t i = 0; i < n; ++i) {
    // The half turn has 2 * symbols * count units; angle t has 2 * symbols of them around its own, sector s 2 * count.
    const int64_t count = counts[i];
    std::fill(sums.begin(), sums.end(), 0);
    for (int64_t t = 0; t < count; ++t) {
      const int64_t begin = (2 * t - 1) * symbols, end = (2 * t + 1) * symbols;
      for (int64_t s = floor_div(begin + count, 2 * count); (2 * s - 1) * count < end; ++s) {
        const int64_t overlap = std::min(end, (2 * s + 1) * count) - std::max(begin, (2 * s - 1) * count);
        sums[t] += overlap * (static_cast<int64_t>(rows[i * symbols + (s + symbols) % symbols]) + 1);
      }
    }
    for (int s = 0; s < symbols; ++s) weights[s] = static_cast<int32_t>(sums[s] >> 2);  // below 2^28
    kernels().normalise(weights.data(), symbols, out + i * symbols);
  }
}

}  // namespace splat2d
