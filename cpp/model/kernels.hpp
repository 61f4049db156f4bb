// The entropy model's hot loops, compiled once for each instruction set and picked at load time; all in exact integers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace splat2d {

constexpr int kMostActive = 1023;  // of an input or activation of the network

// One layer of the network (cpp/model/network.hpp): weight [pairs, width, 2] of two inputs each, bias [any, width]; the
// width is a multiple of sixteen.
struct DenseLayer {
  int width, shift;
  const int16_t* weight;
  const int32_t* bias;
};

// Rows of inputs, so many pairs of each: row i is data + stride * row[i], or + stride * i where `row` is null.
struct DenseRows {
  const int16_t* data;
  size_t stride;
  int pairs;
  const int32_t* row = nullptr;
};

// Points, Q12 px, and what their squared distances are multiplied by, Q16. There are fifteen more that can be read.
struct Points {
  const int32_t *x, *y, *weight;
};

struct PointRange {
  int32_t begin, end;
};

// The points of the smallest scores, the smallest first.
struct Nearest {
  static constexpr int kMost = 8;
  int count = 0;
  int32_t score[kMost], at[kMost];
};

// What the network sees of a splat from wherever it is looked at, in Q6: the logarithm of its aspect, where it leans,
// logarithms of its colours; before them a place for its size.
struct Fixed {
  enum { kAspect = 1, kLeanCosine, kLeanSine, kLogs };
  int16_t value[8];
};

// Near splats as seen from a point: distances in Q12 px, logarithms of deviations and inverse deviations in Q16,
// directions in Q15, closeness in Q6.
struct NearFields {
  static constexpr int kInputs = 22;  // of the network, of each
  using Field = int32_t[Nearest::kMost];
  Field dx, dy, log_size, cosine, sine, twice_cosine, twice_sine, inverse_long, inverse_short, closeness;
  Fixed fixed[Nearest::kMost];
};

struct ModelKernels {
  // The nearest of all points of some ranges, and of scores below a limit. A point's score is its
  // squared distance to (x, y), in (1/16 px)^2, times its weight; those of one score stay in the order of the ranges.
  void (*find_nearest)(int32_t x, int32_t y, const Points& points, const PointRange* ranges, int count, int32_t limit,
                       Nearest* nearest);
  // Inputs [Nearest::kMost, NearFields::kInputs] of the first `count`, and zeros; sizes of the tier's splats in Q16.
  void (*describe_near)(const NearFields& fields, int count, int64_t log_size, int64_t inverse_size, int16_t* out);
  // y [rows, stride] = (W x + bias[index]) >> shift, at least low and at most kMostActive, of the layer's width, for x
  // and the inputs behind it; index may be null for the first bias.
  void (*dense)(const DenseLayer& layer, const DenseRows& x, const DenseRows& behind, const int32_t* index, size_t rows,
                int low, int16_t* y, size_t stride);
  // Weights that sum to 2^16: shares * (2^16 - symbols) // (their sum) + 1, exactly, for shares below 2^29; the first
  // of the largest gets what is missing.
  void (*normalise)(const int32_t* shares, int symbols, uint16_t* weights);
  // Weights that sum to 2^16 of the first `count` <= 48 logits in Q6, and 1 of the other symbols. A logit's share is
  // powers[d mod 64] >> (d / 64) for its distance d to the largest, powers being 2^(-i / 64) in Q15; its weight is
  // (share * ((2^16 - symbols) * 2^15 // (sum of shares)) >> 15) + 1, and the first of the largest gets what is
  // missing.
  void (*weigh)(const int16_t* logits, int count, int symbols, const int16_t* powers, uint16_t* weights);
};

const ModelKernels& model_kernels();

}  // namespace splat2d
