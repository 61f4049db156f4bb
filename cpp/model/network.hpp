// The entropy model: a small network in integer arithmetic. docs/FORMAT.md, sections 5.4 and 5.5, is this in words.
//
// Activations are integers of at most 1023 in magnitude and weights of at most 127, so that two products fit the
// processor's multiply-add of 16 bits, and every sum 24.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/kernels.hpp"

namespace splat2d {

struct Layer {
  int inputs = 0, outputs = 0, biases = 0, shift = 0;
  int width = 0;                // outputs rounded up to a multiple of the lanes
  std::vector<int16_t> weight;  // [inputs rounded up / 2, width, 2]
  std::vector<int32_t> bias;    // [biases, width]

  DenseLayer dense() const { return {width, shift, weight.data(), bias.data()}; }
};

class Network {
 public:
  // Of rows of inputs and outputs, so that pairs of inputs are whole.
  static constexpr int kPlaceStride = 48;  // place, then what near splats add up to
  static constexpr int kNearStride = 22;
  static constexpr int kHiddenStride = 48;
  static constexpr int kSelfStride = 12;
  static constexpr int kSplitStride = 18;
  static constexpr int kMostSymbols = 48;  // of a head, rounded up
  // Heads: magnitudes of luma, two opponent axes and alpha, area, aspect, sectors of the angle, signs of the four.
  static constexpr int kHeads = 11;
  static constexpr int kSymbols[kHeads] = {40, 40, 40, 40, 40, 40, 32, 2, 2, 2, 2};

  // Reads a trained network; returns why it is none, or null.
  const char* read(const uint8_t* data, size_t size);

  // Hidden states [n, kHiddenStride] of splats of a tier, from place [n, kPlaceStride] and `counts` [n] near splats of
  // each, near [n, kNear, kNearStride]; place is used up.
  void embed(int16_t* place, const int16_t* near, const uint8_t* counts, size_t n, int tier, int16_t* hidden) const;

  // Logits [n, kMostSymbols] of a head, from hidden [any, kHiddenStride], self [any, kSelfStride] and levels [n]; splat
  // i has the hidden state number of[i] and the row own[i] of self.
  void logits(int head, const int16_t* hidden, const int32_t* of, const int16_t* self, const int32_t* own,
              const int32_t* levels, size_t n, int16_t* out) const;

  // Weights [kSymbols[head]] of logits, one from `limit` on.
  void weigh(int head, const int16_t* logits, int limit, uint16_t* weights) const;

  // Weights [count] of 2 to 32 angles from logits of the sectors, equal parts of the half turn.
  void weigh_angles(const int16_t* logits, int count, uint16_t* weights) const;

  // log2 [n, 2] in Q6 of the parameters of cells' splits, from [n, kSplitStride].
  void split(const int16_t* inputs, size_t n, int tier, int16_t* logs) const;

  // Weights [count + 1] of how many of a cell's splats lie in its first half: beta-binomial of these parameters.
  void split_weights(int64_t count, int first, int second, uint16_t* weights) const;

 private:
  // An angle and a sector that overlap, and by how much.
  struct Overlap {
    uint8_t angle, sector, width;
  };
  // y [rows, width of the layer] of x [rows, stride].
  static void run(const Layer& layer, const int16_t* x, size_t stride, const int32_t* index, size_t rows, int low,
                  int16_t* y);
  // Of two symbols, the first of which has a logit that is so much larger.
  void weigh_pair(int larger, uint16_t* weights) const;

  struct Head {
    Layer first, last;
  };
  Layer split_[3];
  Layer near_first_, near_last_, trunk_;
  Head heads_[kHeads];
  int16_t powers_[64];                 // 2^(-i / 64) in Q15
  std::vector<Overlap> overlaps_[33];  // by the number of angles
  std::vector<uint16_t> pairs_;        // weights of the first of two symbols, by how much larger its logit is
};

}  // namespace splat2d
