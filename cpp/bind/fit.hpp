// What the constructors of fits have in common.
#pragma once

#include "bind/arrays.hpp"
#include "fit/descent.hpp"
#include "fit/film.hpp"
#include "math/pool.hpp"

namespace splat2d {

inline FitOptions fit_options(double step, double lambda, double chroma_step, double cutoff, int memory, int threads) {
  FitOptions o;
  o.step = step;
  o.lambda = lambda;
  o.chroma_step = chroma_step;
  o.cutoff = cutoff;
  o.memory = memory;
  o.threads = granted_threads(threads);
  return o;
}

inline void require_distortions(const Film::Distortions& distortions, size_t count, const Canvas& canvas) {
  require(distortions.empty() || distortions.size() == count, "one distortion for each picture, or none");
  for (const auto& d : distortions)
    require(d && d->canvas(0).width == canvas.width && d->canvas(0).height == canvas.height,
            "distortions must have the pictures' size");
}

}  // namespace splat2d
