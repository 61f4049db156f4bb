// The entropy model: a small network in integer arithmetic.
//
// Activations are integers of at most 1023 in magnitude and weights of at most 127, so that every sum stays below
// 2^24 and is exact in float arithmetic, in any order: the vector units do integer work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "math/kernels.hpp"

namespace splat2d {

// Fewer rows are not worth waking threads for.
constexpr size_t kManyRows = 128;

// y = clamp((W x + b) >> shift): b by a row's index where there are several.
struct Layer {
  int inputs, outputs, biases, shift;
  int width;                  // outputs rounded up to a multiple of the lanes
  std::vector<float> weight;  // [inputs, width]
  std::vector<float> bias;    // [biases, width]

  DenseLayer dense() const { return {inputs, width, shift, weight.data(), bias.data()}; }
};

class Network {
 public:
  // A trained network's bytes; throws std::invalid_argument if they are not one.
  Network(const uint8_t* data, size_t size);

  // place [n, kPlaceInputs] and near [n, kNear, kNearInputs] of splats of one tier: hidden state [n, hidden()].
  void embed(const float* place, const float* near, size_t n, int tier, int threads, float* out) const;

  // Rows of `symbols(head)` weights less one, [n, symbols], from hidden [n, hidden()], self [n, kSelfInputs] and
  // levels [n]; symbols from limits[i] on have no weight (limits may be null).
  void rows(int head, const float* hidden, const float* self, const int32_t* levels, const int64_t* limits, size_t n,
            int threads, double* out) const;

  // Beta-binomial parameters in 1/256 of cells' splits, from [n, SplitTree::kInputs].
  void split(const float* inputs, size_t n, int tier, int threads, int64_t* alpha, int64_t* beta) const;

  int hidden() const { return trunk_.outputs; }
  int heads() const { return static_cast<int>(heads_.size()); }
  int symbols(int head) const { return heads_[head].last.outputs; }

 private:
  struct Head {
    Layer first, last;
  };
  Layer split_[3];
  Layer near_first_, near_last_, trunk_;
  std::vector<Head> heads_;
};

// Rows [n, symbols] of weights less one over equal sectors of the half turn to rows over counts[i] <= symbols angles.
void fold_angles(const double* rows, const int32_t* counts, size_t n, int symbols, double* out);

}  // namespace splat2d
