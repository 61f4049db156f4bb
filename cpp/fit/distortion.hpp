// A distortion that weighs errors by place and by scale: D(e) = sum_l 4^l sum_x w_l(x) |(B_l e)(x)|^2.
//
// B_l e is the error at level l of a binomial pyramid, 1 / 2^l of the size. A Gaussian of covariance S is there
// nearly a Gaussian again, of covariance (S + (4^l - 1) / 4 px^2) / 4^l, so the splats follow it cheaply.
#pragma once

#include <cstdint>
#include <vector>

#include "device/device.hpp"

namespace splat2d {

// Variance that the pyramid's filter adds up to level l, px^2 of the picture.
SPLAT2D_HD constexpr float level_variance(int level) { return 0.25f * static_cast<float>((1 << (2 * level)) - 1); }

// A splat as level l sees it.
struct LevelSplat {
  float mean[2];   // px of the level
  float conic[3];  // px^-2 of the level
  float height;    // of the Gaussian, over its height in the picture
};

SPLAT2D_HD LevelSplat level_splat(const float* mean, const float* conic, int level) {
  const float det = conic[0] * conic[2] - conic[1] * conic[1], added = level_variance(level);
  const float scale = 1.0f / static_cast<float>(1 << level);
  // Covariance is (c, -b, a) / det.
  const float xx = conic[2] / det + added, yy = conic[0] / det + added, xy = -conic[1] / det;
  const float wide = xx * yy - xy * xy, inverse = 1.0f / (wide * scale * scale);
  return {{mean[0] * scale, mean[1] * scale}, {yy * inverse, -xy * inverse, xx * inverse}, 1.0f / sqrtf(wide * det)};
}

// How an error e in red, green and blue counts: chroma |e|^2 + luma (its luma)^2. Grey errors count one, those that
// leave the luma as it is `chroma`. Pictures of other channels know nothing of it, nor does alpha.
struct Tint {
  static constexpr float kRed = 0.3f, kGreen = 0.6f, kBlue = 0.1f;
  float chroma = 1, luma = 0;

  static Tint of(float chroma) { return {chroma, 3 * (1 - chroma)}; }
  SPLAT2D_HD bool plain() const { return luma == 0; }
  // What a channel's square counts without the luma; the fourth is alpha.
  SPLAT2D_HD float part(int channel) const { return channel < 3 ? chroma : 1.0f; }
  SPLAT2D_HD static float luma_of(float red, float green, float blue) {
    return kRed * red + kGreen * green + kBlue * blue;
  }
  // Half of the derivative.
  SPLAT2D_HD void apply(float* red, float* green, float* blue) const {
    const float more = luma * luma_of(*red, *green, *blue);
    *red = chroma * *red + kRed * more;
    *green = chroma * *green + kGreen * more;
    *blue = chroma * *blue + kBlue * more;
  }
};

// What a splat of one size sees of the weights: D over its SSE, looked up in averages.
struct Sight {
  struct Plane {
    const float* weights;
    Canvas canvas;
    float scale;  // of its pixels over the picture's
    float part;   // of the splat's energy that the level sees

    SPLAT2D_HD float at(float x, float y) const {
      const int ix = clamp(static_cast<int>(x * scale), 0, canvas.width - 1);
      const int iy = clamp(static_cast<int>(y * scale), 0, canvas.height - 1);
      return weights[static_cast<size_t>(iy) * canvas.width + ix];
    }
  };
  // What the levels say together.
  struct Total {
    float sum = 0, positive = 0;

    SPLAT2D_HD void add(float part) {
      sum += part;
      positive += part > 0 ? part : 0.0f;
    }
    // Coarser levels may take back what finer ones weigh too much; some weight always stays.
    SPLAT2D_HD float density() const {
      constexpr float kLeastPart = 0.2f, kLeastDensity = 1e-4f;
      const float least = kLeastPart * positive > kLeastDensity ? kLeastPart * positive : kLeastDensity;
      return sum > least ? sum : least;
    }
  };
  int levels = 0;  // 0: the distortion is SSE
  Plane planes[8];

  // At (x, y), about; `finest`, when not null, is the mean of the finest level's weights under the splat.
  SPLAT2D_HD float at(float x, float y, const float* finest = nullptr) const {
    if (!levels) return 1.0f;
    Total total;
    for (int l = 0; l < levels; ++l) total.add(planes[l].part * (l == 0 && finest ? *finest : planes[l].at(x, y)));
    return total.density();
  }
};

// D over SSE of splats of any size.
struct Density {
  static constexpr int kMaxLevels = 8, kAverages = 7;  // weights are averaged up to 2^6 px
  struct Plane {
    const float* weights;
    Canvas canvas;
  };
  int levels = 0;
  Plane planes[kMaxLevels][kAverages];  // of level l, averaged over 2^m of its pixels

  // Of round Gaussian-like splats of this standard deviation, px.
  SPLAT2D_HD Sight of(float deviation) const {
    Sight out;
    out.levels = levels;
    for (int l = 0; l < levels; ++l) out.planes[l] = seen(l, octave(deviation), deviation * deviation);
    return out;
  }
  // Of a splat's mean [2] and factor [4].
  SPLAT2D_HD float at(const float* mean, const float* l) const {
    if (!levels) return 1.0f;
    const float variance = fabsf(l[0] * l[3] - l[1] * l[2]);
    const int wanted = octave(sqrtf(variance));
    Sight::Total total;
    for (int level = 0; level < levels; ++level) {
      const Sight::Plane plane = seen(level, wanted, variance);
      total.add(plane.part * plane.at(mean[0], mean[1]));
    }
    return total.density();
  }

 private:
  SPLAT2D_HD static int octave(float deviation) { return deviation > 1 ? static_cast<int>(log2f(deviation)) : 0; }
  // Level l for splats of a variance, px^2, averaged over 2^wanted px where there is such an average.
  SPLAT2D_HD Sight::Plane seen(int l, int wanted, float variance) const {
    const int average = clamp(wanted - l, 0, l < kAverages ? kAverages - 1 - l : 0);
    const Plane& plane = planes[l][average];
    return {plane.weights, plane.canvas, 1.0f / static_cast<float>(1 << (l + average)),
            variance / (variance + level_variance(l))};
  }
};

class Distortion {
 public:
  static constexpr int kMaxLevels = Density::kMaxLevels;

  // weights: one plane a level, each half of the one before, rounded up.
  Distortion(Canvas canvas, std::vector<std::vector<float>> weights, Tint tint = {});
  Distortion(const Distortion&) = delete;

  int levels() const { return density_.levels; }
  Canvas canvas(int level) const { return density_.planes[level][0].canvas; }
  const float* weights(int level) const { return density_.planes[level][0].weights; }
  const Array<float>& finest() const { return planes_[0]; }
  const Density& density() const { return density_; }  // of grey errors
  const Tint& tint() const { return tint_; }

  // The error [C, H, W] at levels 1 and up.
  std::vector<Array<float>> pyramid(const Device& device, const float* error, int channels) const;

  // D(error) and half of its gradient, both for error [C, H, W]. The gradient is 0 where `saturated` (null for nowhere)
  // is not and the error is.
  void evaluate(const Device& device, const float* error, int channels, float* gradient, double* value,
                const int8_t* saturated = nullptr) const;

 private:
  std::vector<Array<float>> planes_;  // of density_
  Density density_;
  Tint tint_;
};

// That of SSE for null.
inline Density density_of(const Distortion* distortion) { return distortion ? distortion->density() : Density{}; }
inline Tint tint_of(const Distortion* distortion, int channels) {
  return distortion && channels >= 3 ? distortion->tint() : Tint{};
}

}  // namespace splat2d
