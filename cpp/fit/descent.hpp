// L-BFGS steps with Armijo backtracking on splats, rows of which come and go: what fits of pictures and clips share.
#pragma once

#include <cstdint>
#include <vector>

#include "fit/lbfgs.hpp"

namespace splat2d {

struct FitOptions {
  double step = 0.3;             // D, the colour step, in [0, 1] units times px
  double lambda = 0.0096;        // SSE per bit
  double chroma_step = 1.25;     // chroma step over D
  double cutoff = 9.5;           // q at which g is cut while fitting
  double amplitude_floor = 0.2;  // A is at least this, so that new splats stay well scaled
  int memory = 12;               // L-BFGS pairs
  bool natural_units = true;     // false: units of every splat as if its amplitude were 16 D
  bool rate_term = true;         // false: only pruning and refinement weigh bits
  int threads = 1;               // on the CPU
};

inline FitOptions fit_options(double step, double lambda, double chroma_step, double cutoff, int memory) {
  FitOptions o;
  o.step = step;
  o.lambda = lambda;
  o.chroma_step = chroma_step;
  o.cutoff = cutoff;
  o.memory = memory;
  return o;
}

// A splat's numbers, one row a splat.
struct FitState {
  Array<float> means;   // [N, M] centres, with the time in a clip and the disparity in a light field
  Array<float> frames;  // [N, F] row-major L, the covariance being L L^T
  Array<float> k;       // [N, C] amplitudes in the colour basis, times the L2 norm of the Gaussian
};

// How many numbers a splat has besides its amplitudes.
struct Rows {
  int mean, factor;
  int parameters;  // that a step changes
};

class Descent {
 public:
  Descent(const Device& device, Rows rows, int channels, int memory);
  virtual ~Descent() = default;

  int count() const { return static_cast<int>(state_.means.size()) / rows_.mean; }
  int channels() const { return channels_; }
  const Rows& rows() const { return rows_; }
  const Device& device() const { return device_; }

  // Evaluates at the present state, keeping the optimiser's memory. Call after what changes the state or the rate.
  void refresh();

  // One step. Returns false when none was found (memory is then dropped).
  bool step();

 protected:
  int parameters() const { return channels_ + rows_.parameters; }

  // Looks up what stays as it is until the next refresh.
  virtual void look_up() = 0;
  // What J of the present state is made of, into numbers_ from kEvaluated on.
  virtual void evaluate() = 0;
  // J / 2, once that has been fetched.
  virtual double value() = 0;
  // Its gradient in natural units, at the state that was evaluated last.
  virtual void gradient(Array<float>* out) = 0;
  // Keeps a direction within what a step from a state may change.
  virtual void limit(const FitState& at, Array<float>* direction) const = 0;
  // Moves to t times a direction from a state.
  virtual void move(const Array<float>& direction, float t, const FitState& from) = 0;

  // Keeps the splats whose flag is set; returns how many went.
  int keep(const std::vector<uint8_t>& flags);
  void add(const std::vector<float>& means, const std::vector<float>& frames, const std::vector<float>& k);

  // In numbers_; the products of the next pair of the memory come last.
  enum { kEvaluated = 0, kSlope = 3, kProducts = 4 };

  const Rows rows_;
  const int channels_;
  const Device device_;
  FitState state_;
  Lbfgs memory_;
  Numbers numbers_;

 private:
  // The direction of a step from `from_`, and its slope.
  void turn();
  // The gradient at t times the direction, and what the memory makes of it.
  void look(double t);

  FitState from_;  // before the present step
  Array<float> direction_, gradient_, next_gradient_;
  double value_ = 0;
};

}  // namespace splat2d
