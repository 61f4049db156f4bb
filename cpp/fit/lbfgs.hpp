// Limited-memory BFGS in coefficients: all inner products at once, then one sum of vectors. Nocedal and Wright,
// Numerical Optimization, algorithm 7.4, written out for the products of the pairs.
#pragma once

#include <vector>

#include "device/device.hpp"

namespace splat2d {

class Lbfgs {
 public:
  // memory: pairs that are kept at most.
  Lbfgs(const Device& device, int memory) : device_(device), memory_(memory) {}

  bool empty() const { return pairs_.empty(); }

  // Minus the inverse Hessian's estimate times the gradient.
  void direction(const Array<float>& gradient, Array<float>* out);

  // Numbers that `propose` writes at most.
  static size_t products_of(int memory) { return 5 * static_cast<size_t>(memory) + 4; }

  // Writes the pair of a step that is t times a direction, which changes the gradient from `before` to `after`, and
  // queues its products. Until they have been fetched and are taken, nothing else changes.
  void propose(const Array<float>& direction, float t, const Array<float>& before, const Array<float>& after,
               double* products);

  // Keeps what was proposed last, unless its curvature is not positive; the gradient is now the one after it.
  void take(const double* products);

  // The gradient is another one now.
  void forget() { known_ = false; }

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
  // Computes the pairs' products anew.
  void multiply();

  Device device_;
  size_t memory_;
  std::vector<Pair> pairs_;
  Pair next_;
  std::vector<std::vector<double>> sy_, yy_;  // [i][j] <s_i, y_j> and <y_i, y_j>
  std::vector<double> sg_, yg_;               // [i] <s_i, gradient> and <y_i, gradient>
  bool known_ = false;                        // the gradient's products
};

// Rows `rows` of an array, each of `width` numbers.
Array<float> gathered(const Device& device, const Array<float>& from, const Array<int>& rows, int width);

}  // namespace splat2d
