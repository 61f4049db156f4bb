// What the constructors of fits check alike.
#pragma once

#include "bind/arrays.hpp"
#include "fit/film.hpp"

namespace splat2d {

inline void require_distortions(const Film::Distortions& distortions, size_t count, const Canvas& canvas) {
  require(distortions.empty() || distortions.size() == count, "one distortion for each picture, or none");
  for (const auto& d : distortions)
    require(d && d->canvas(0).width == canvas.width && d->canvas(0).height == canvas.height,
            "distortions must have the pictures' size");
}

}  // namespace splat2d
