// The filter that halves pictures, (outer, inner, inner, outer) along rows and columns, pixel by pixel: output X lies
// between inputs 2 X and 2 X + 1, and beyond the border stands the border's pixel.
#pragma once

#include "math/gaussian.hpp"

namespace splat2d {

SPLAT2D_HD int within(int v, int end) { return v < 0 ? 0 : v < end ? v : end - 1; }

// Calls f(X, weight) for the outputs X, out of `outputs`, that read input x out of `inputs`.
template <class F>
SPLAT2D_HD void for_readers(int x, int inputs, int outputs, float outer, float inner, F f) {
  if (x > 0 && x + 1 < inputs) {  // no border is near
    const int X = x >> 1;
    if (x & 1) {
      f(X, inner);
      f(X + 1, outer);
    } else {
      f(X - 1, outer);
      f(X, inner);
    }
    return;
  }
  for (int X = within((x - 2) >> 1, outputs); X <= within((x + 1) >> 1, outputs); ++X)
    for (int i = 0; i < 4; ++i)
      if (within(2 * X + i - 1, inputs) == x) f(X, i == 0 || i == 3 ? outer : inner);
}

}  // namespace splat2d
