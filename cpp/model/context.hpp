// What is known around a splat before it is decoded, as small integers: the inputs of the entropy model's network.
//
// docs/FORMAT.md, sections 5.9 and 5.10, is this in words. Inputs are integers in units of 1/64 within +-1023.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "format/quantizer.hpp"
#include "math/workers.hpp"
#include "model/kernels.hpp"
#include "model/squares.hpp"

namespace splat2d {

constexpr int64_t kInputOne = 64;  // what stands for 1 in an input
constexpr int kStepBias = 640;     // step code of D = 1; 64 codes double it, so that a code less it is log2 D in Q6

// log2(x) in Q6 for x >= 1, linear between powers of two.
constexpr int64_t log2_q6(int64_t x) {
  // A double's exponent, and the first six bits behind its point; x is below 2^53.
  return (std::bit_cast<int64_t>(static_cast<double>(x)) >> 46) - (int64_t{1023} << 6);
}
// sign(x) log2(1 + |x| / one) in Q6.
int64_t signed_log(int64_t x, int64_t one);
// An integer as the network takes it.
inline int16_t network_input(int64_t x) { return static_cast<int16_t>(clamp<int64_t>(x, -kMostActive, kMostActive)); }

// A leaf cell that holds splats of a tier: its corner, Q12 px from the margin's corner, and how many.
struct Leaf {
  int64_t x, y;
  int32_t count;
};

// The size of all leaves of a tier, Q12 px.
struct LeafSize {
  int64_t width, height;
};

// What the leaves of a tier say of each other, in Q6: log2 of the number of splats in the 3 x 3 squares around each, at
// the tier's size and at four times it; and in the smaller squares the sums of cos 2 phi and sin 2 phi of the
// directions to the others, near ones the more.
struct Surroundings {
  int64_t few, many, cosine, sine;
};

std::vector<Surroundings> surroundings(const std::vector<Leaf>& leaves, LeafSize size, int tier,
                                       const Workers& workers);

// What a splat's integers say of its place and shape, worked out once.
struct Form {
  int32_t energy_class;
  Direction direction;
  Lattice lattice;
};

class Context {
 public:
  static constexpr int kNear = Nearest::kMost;             // nearest known splats that are looked at
  static constexpr int kNearInputs = NearFields::kInputs;  // of each of them
  static constexpr int kPlaceInputs = 16;
  static constexpr int kSelfInputs = 11;
  static constexpr int kLevels = 14;        // of energy that the splat's own integers tell, 0 where not yet known
  static constexpr int kMostInBucket = 64;  // known splats of a bucket that are looked at, the latest

  // pixels: of the canvas; frames: of a segment, else 0; counts: splats of the field in each tier.
  Context(int64_t pixels, int frames, const ColorSteps& steps, int step_code,
          const std::array<int64_t, kTiers>& counts);

  // Makes room for so many more splats.
  void expect(size_t splats) { known_.reserve(known_.size() + splats); }
  // Splats of a tier that have been decoded, after those of the tiers before.
  void add(const std::vector<int32_t*>& integers, const std::vector<Form>& forms, int tier, const Workers& workers);
  // With only some of the splats, in the order given.
  Context of(const std::vector<int32_t>& known) const;

  // Of a splat's own integers, to its inputs [kSelfInputs]. The slots of components are luma, two opponents, alpha.
  int slot(int channel) const { return channel == steps_.channels - 1 && steps_.channels % 2 == 0 ? 3 : channel; }
  static int level(int energy_class) { return clamp(energy_class + 2, 1, kLevels - 1); }
  void learn_magnitude(int channel, int64_t magnitude, int16_t* self) const;
  void learn_area(int energy_class, int area, int tier, int16_t* self) const;
  void learn_aspect(int energy_class, int aspect, int16_t* self) const;
  void learn_angle(int energy_class, int aspect, const Direction& direction, int16_t* self) const;
  void learn_sign(int channel, int64_t value, int16_t* self) const;

  const ColorSteps& steps() const { return steps_; }
  size_t size() const { return known_.size(); }
  // Of a decoded splat's centre, Q12 px from the margin's corner.
  int64_t x(size_t i) const { return known_[i].x; }
  int64_t y(size_t i) const { return known_[i].y; }
  int tier(size_t i) const { return known_[i].tier; }

 private:
  friend class View;
  struct Known {
    int32_t x, y;                         // Q12 px
    int64_t area;                         // s1 s2, Q16 px^2
    int32_t cosine, sine;                 // of the angle, Q15
    int32_t twice_cosine, twice_sine;     // of twice the angle
    int32_t inverse_long, inverse_short;  // Q16 px^-1
    Fixed fixed;                          // colours by slot
    int32_t log_size, log_aspect;         // of the deviation, Q16; Q6
    int32_t tier;
  };
  Known known_of(const int32_t* integers, const Form& form, int tier) const;
  void sum(const Known& k);

  int64_t pixels_;
  int frames_;
  ColorSteps steps_;
  int step_code_;
  std::array<int64_t, kTiers> counts_;
  int64_t log_spacing_;
  std::vector<Known> known_;
  std::array<int64_t, 5> sums_{};  // of the four |logs| and of log_aspect in Q6
};

// What leaves of a tier see of a context, which must not change meanwhile.
class View {
 public:
  View(const Context& context, LeafSize size, int tier);

  // Inputs of a leaf's splats: place [Network::kPlaceStride] and near [kNear, Network::kNearStride]; returns how many
  // splats are near. `nearest` is a hint: those of a leaf close by, or none.
  int look(const Leaf& leaf, const Surroundings& around, Nearest* nearest, int16_t* place, int16_t* near) const;

 private:
  const Context& context_;
  LeafSize size_;
  int64_t log_size_, inverse_size_;          // of the tier's splats, Q16
  int16_t shared_[Context::kPlaceInputs]{};  // what all leaves share
  // Known splats by bucket, with what their distances are weighed by.
  int shift_;
  Squares buckets_;
  std::vector<int32_t> xs_, ys_, weights_;
};

}  // namespace splat2d
