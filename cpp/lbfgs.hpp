// Limited-memory BFGS in coefficients: all inner products at once, then one sum of vectors. Nocedal and Wright,
// Numerical Optimization, algorithm 7.4, written out for the products of the pairs.
#pragma once

#include <vector>

#include "device.hpp"

namespace splat2d {

class Lbfgs {
 public:
  // memory: pairs that are kept at most.
  Lbfgs(const Device& device, int memory) : device_(device), memory_(memory) {}

  // Minus the inverse Hessian's estimate times the gradient.
  void direction(const Array<float>& gradient, Array<float>* out) const;

  // A step and the change of the gradient along it; left out where the curvature is not positive.
  void push(Array<float> step, Array<float> change);

  void clear();

  // Keeps rows `rows` of all pairs, each of `width` numbers.
  void gather(const Array<int>& rows, int width);

  // Appends zeros up to `size` numbers.
  void extend(size_t size);

 private:
  struct Pair {
    Array<float> s, y;
  };
  bool curved(size_t pair, double least) const { return sy_[pair][pair] > least * yy_[pair][pair]; }
  void drop(size_t pair);
  // Products of the pairs from `first` on with all.
  void multiply(size_t first);

  Device device_;
  size_t memory_;
  std::vector<Pair> pairs_;
  std::vector<std::vector<double>> sy_, yy_;  // [i][j] <s_i, y_j> and <y_i, y_j>
};

// Rows `rows` of an array, each of `width` numbers.
Array<float> gathered(const Device& device, const Array<float>& from, const Array<int>& rows, int width);

}  // namespace splat2d
