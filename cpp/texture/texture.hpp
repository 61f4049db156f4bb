// Texture: noise with a stated local spectrum, drawn as splats that nobody coded. docs/FORMAT.md, section 6.7, is this
// in words.
//
// Sparse convolution noise: the plane is cut into cells, one lattice for each octave; a hash of a cell's place gives
// each of its impulses a place, a direction, a frequency and a phase, and the strengths of the grid there how strong it
// is. An impulse is a wave under a Gaussian, so affine maps and blurs act on it in closed form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "math/kernels.hpp"

namespace splat2d {

constexpr int kMaxBands = 6, kMaxDirections = 4, kMaxLevel = 15;

// Strengths [bands, rows, columns, directions], 0 to kMaxLevel; band 0 is the finest.
struct Strengths {
  int bands, rows, columns, directions;
  const uint8_t* levels;

  size_t count() const { return static_cast<size_t>(bands) * rows * columns * directions; }
  size_t at(int band, int row, int column, int direction) const {
    return ((static_cast<size_t>(band) * rows + row) * columns + column) * directions + direction;
  }
};

struct Texture {
  Strengths strengths;
  int cell;   // px of the canvas
  int slope;  // sixteenths of an octave that amplitudes fall by for an octave beyond band 0
  uint32_t seed;
  float gain;            // of all amplitudes
  double width, height;  // of the canvas, px
  double map[6];         // a canvas point (x, y) is seen at (m0 x + m1 y + m4, m2 x + m3 y + m5) px
  double blur[3];        // covariance that everything is blurred by, px^2 of the target: xx, xy, yy
};

// Root mean square of a level's noise, in [0, 1] units.
float amplitude(int level);

// Draws a texture tile by tile; what a tile gets does not depend on the others.
class TextureDrawer {
 public:
  explicit TextureDrawer(const Texture& texture);

  // Whether there is anything to draw.
  bool empty() const { return octaves_.empty(); }

  // Adds the noise to a tile of `channels` planes, kTilePlane apart: each colour is first clamped to [0, 1]. With two
  // or four channels the last is coverage, and what is added is multiplied by it. `scratch` has room for a plane.
  void add(Box tile, int channels, float* buffer, float* scratch) const;

 private:
  struct Octave {
    int band;                // of the strengths
    int number;              // below 0 beyond band 0
    double side, frequency;  // of a lattice's cell, px, and of the waves, 1/px
    float gain;
    float a, b, c;            // conic seen
    double pull[4];           // from a frequency on the canvas to that seen
    double fade[3];           // -log of what a blur leaves of a wave, by the frequency on the canvas: xx, 2 xy, yy
    double carry[4];          // from a frequency on the canvas to the one seen if nothing is blurred
    double reach_x, reach_y;  // px seen
    double margin;            // px of the canvas around it that impulses lie in
  };
  void draw(const Octave& octave, Box tile, float* noise) const;

  Texture t_;
  double inverse_[4];
  std::vector<Octave> octaves_;
};

}  // namespace splat2d
