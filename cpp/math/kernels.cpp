// Compiled once for each instruction set with SPLAT2D_KERNELS naming the table it defines. Nothing but that
// table may have external linkage here, and no template of the standard library that might not be inlined:
// the linker would keep one copy for all machines.
#include "math/kernels.hpp"

#include "math/simd.hpp"
#include "math/wave.hpp"

namespace splat2d {
namespace {

constexpr int kSpanRows = 64;
constexpr int kBand = 16;  // rows that a recurrence goes over at most

SPLAT2D_INLINE int smaller(int a, int b) { return a < b ? a : b; }
SPLAT2D_INLINE int larger(int a, int b) { return a > b ? a : b; }

// Calls chunk(x, y, g, dx) for each sixteen columns, g zero outside the cut-off, and row_end(dy) after each row.
template <class Chunk, class RowEnd>
SPLAT2D_INLINE void visit(const Ellipse& e, Box box, Chunk chunk, RowEnd row_end) {
  const v16 limit = splat(-0.5f * e.cutoff);
  const v16 lanes = iota();
  Span spans[kSpanRows];
  for (int y0 = box.y0; y0 < box.y1; y0 += kSpanRows) {
    const int rows = smaller(kSpanRows, box.y1 - y0);
    for (int r = 0; r < rows; ++r) spans[r] = row_span(e, center_distance(y0 + r, e.my), box.x0, box.x1);
    for (int r = 0; r < rows; ++r) {
      const int y = y0 + r, last = spans[r].last;
      const float dy = center_distance(y, e.my);
      const RowTerms terms = row_terms(e.a, e.b, e.c, dy);
      const v16 a = splat(terms.a), b = splat(terms.b), c = splat(terms.c);
      for (int x = spans[r].first; x <= last; x += kLanes) {
        const v16 column = lanes + static_cast<float>(x);
        const v16 dx = column + 0.5f - splat(e.mx);
        const v16 h = exponent(a, b, c, dx);
        const v16i inside = where_between(h, limit, column, static_cast<float>(last));
        chunk(x, y, keep_where(inside, exp_negative(keep_where(inside, h))), dx);
      }
      row_end(dy);
    }
  }
}

// Sixteen columns of a Gaussian: its value at a row and by what that is multiplied from one row to the next.
struct Strip {
  v16 dx, g, ratio;
};

// The same about, for what need not be the decoder's to the last bit: sixteen columns at a time, from row to row. Down
// a column a Gaussian follows a recurrence of two multiplications, which starts anew with each band of rows. Calls
// begin(dx) for each sixteen columns of a band, chunk(x, y, g, dy) for their rows, and end(dx).
template <class Begin, class Chunk, class End>
SPLAT2D_INLINE void sweep(const Ellipse& e, Box box, Begin begin, Chunk chunk, End end) {
  if (box.x0 >= box.x1 || box.y0 >= box.y1) return;
  constexpr float kLeast = -79.0f;  // exponents below it are those of zero
  // Within so many rows no column goes from less than that to a place inside the cut-off.
  const float room = (__builtin_sqrtf(-2.0f * kLeast) - __builtin_sqrtf(e.cutoff)) / __builtin_sqrtf(e.c);
  const int most = room > kBand ? kBand : room > 1.0f ? static_cast<int>(room) : 1;
  const bool narrow = box.x1 - box.x0 <= kLanes;
  const float widest = e.b / e.c * __builtin_sqrtf(e.cutoff * e.c / e.det);  // the row of the ellipse's left end
  // A Gaussian's value says whether it is inside the cut-off.
  const v16 limit = exp_of(splat(-0.5f * e.cutoff)), least = splat(kLeast), lanes = iota();
  const float curve = -0.5f * e.c;
  const v16 bend = exp_of(splat(e.c > -kLeast ? kLeast : -e.c));
  for (int y0 = box.y0; y0 < box.y1; y0 += most) {
    const int rows = smaller(most, box.y1 - y0);
    const float first_dy = center_distance(y0, e.my), last_dy = first_dy + static_cast<float>(rows - 1);
    int first = box.x0, last = box.x1 - 1;
    if (!narrow) {
      first = row_span(e, splat2d::clamp(widest, first_dy, last_dy), box.x0, box.x1).first;
      last = row_span(e, splat2d::clamp(-widest, first_dy, last_dy), box.x0, box.x1).last;
    }
    const auto strip_at = [&](int x) SPLAT2D_LAMBDA_INLINE {
      const v16 column = lanes + static_cast<float>(x);
      Strip s;
      s.dx = column + 0.5f - splat(e.mx);
      // -q / 2 = (slope + curve dy) dy + top
      const v16 slope = s.dx * -e.b, top = s.dx * s.dx * (-0.5f * e.a);
      const v16 h = (slope + curve * first_dy) * first_dy + top;
      s.g = keep_from(splat(static_cast<float>(last)), column, keep_from(h, least, exp_of(clamp(h, kLeast, 0.0f))));
      s.ratio = exp_of(clamp(slope + curve * (2.0f * first_dy + 1.0f), kLeast, -kLeast));
      return s;
    };
    Strip next = strip_at(first);
    for (int x = first; x <= last; x += kLanes) {
      Strip s = next;
      if (x + kLanes <= last) next = strip_at(x + kLanes);  // so early that nothing waits for its exponentials
      begin(s.dx);
      for (int r = 0; r < rows; ++r) {
        const float dy = first_dy + static_cast<float>(r);
        chunk(x, y0 + r, keep_from(s.g, limit, s.g), dy);
        s.g = s.g * s.ratio;
        s.ratio = s.ratio * bend;
      }
      end(s.dx);
    }
  }
}

template <int C>
void accumulate(const Ellipse& e, Box box, Box tile, const float* color, float* buffer) {
  v16 shade[C];
  for (int c = 0; c < C; ++c) shade[c] = splat(color[c]);
  visit(
      e, box,
      [&](int x, int y, const v16& g, const v16&) SPLAT2D_LAMBDA_INLINE {
        float* p = buffer + (y - tile.y0) * kTileStride + (x - tile.x0);
        for (int c = 0; c < C; ++c) store(p + c * kTilePlane, load(p + c * kTilePlane) + g * shade[c]);
      },
      [](float) SPLAT2D_LAMBDA_INLINE {});
}

template <int C>
void sketch(const Ellipse& e, Box box, Box tile, const float* color, float* buffer) {
  v16 shade[C];
  for (int c = 0; c < C; ++c) shade[c] = splat(color[c]);
  sweep(
      e, box, [](const v16&) SPLAT2D_LAMBDA_INLINE {},
      [&](int x, int y, const v16& g, float) SPLAT2D_LAMBDA_INLINE {
        float* p = buffer + (y - tile.y0) * kTileStride + (x - tile.x0);
        for (int c = 0; c < C; ++c) store(p + c * kTilePlane, load(p + c * kTilePlane) + g * shade[c]);
      },
      [](const v16&) SPLAT2D_LAMBDA_INLINE {});
}

// Gradients of a splat's colour, centre and conic (where asked for), and its own energy where there is a place for it.
template <int C, bool kSelf, bool kWeighted>
SPLAT2D_INLINE void gradients(const Ellipse& e, Box box, Canvas canvas, const float* color, const float* picture,
                              const float* weights, float* v_mean, float* v_conic, float* v_color, float* self) {
  const size_t plane = static_cast<size_t>(canvas.width) * canvas.height;
  v16 shade[C], color_sum[C], energy = zero();
  for (int c = 0; c < C; ++c) {
    shade[c] = splat(color[c]);
    color_sum[c] = zero();
  }
  // Moments of w = g <picture, color>: sums of w, w dy and w dy^2 down a column, then over columns with powers of dx.
  v16 w_sum = zero(), w_y = zero(), m_x = zero(), m_y = zero(), m_xx = zero(), m_xy = zero(), m_yy = zero();
  sweep(
      e, box,
      [&](const v16&) SPLAT2D_LAMBDA_INLINE {
        w_sum = zero();
        w_y = zero();
      },
      [&](int x, int y, const v16& g, float dy) SPLAT2D_LAMBDA_INLINE {
        const float* p = picture + static_cast<size_t>(y) * canvas.width + x;
        const int room = canvas.width - x;
        v16 w = zero(), weighed = g;
        if constexpr (kWeighted) {
          const float* weight = weights + static_cast<size_t>(y) * canvas.width + x;
          weighed = g * (room >= kLanes ? load(weight) : load_partial(weight, room));
        }
        for (int c = 0; c < C; ++c) {
          const v16 v = weighed * (room >= kLanes ? load(p + c * plane) : load_partial(p + c * plane, room));
          color_sum[c] += v;
          w += v * shade[c];
        }
        if constexpr (kSelf) energy += weighed * g;
        const v16 wy = w * dy;
        w_sum += w;
        w_y += wy;
        m_yy += wy * dy;
      },
      [&](const v16& dx) SPLAT2D_LAMBDA_INLINE {
        const v16 wx = w_sum * dx;
        m_x += wx;
        m_y += w_y;
        m_xx += wx * dx;
        m_xy += w_y * dx;
      });
  for (int c = 0; c < C; ++c) v_color[c] = sum(color_sum[c]);
  if constexpr (kSelf) *self = sum(energy);
  if (!v_mean) return;
  shape_gradients(e, {sum(m_x), sum(m_y), sum(m_xx), sum(m_xy), sum(m_yy)}, v_mean, v_conic);
}

template <int C>
void backward(const Ellipse& e, Box box, Canvas canvas, const float* color, const float* picture, float* v_mean,
              float* v_conic, float* v_color) {
  gradients<C, false, false>(e, box, canvas, color, picture, nullptr, v_mean, v_conic, v_color, nullptr);
}

template <int C>
void observe(const Ellipse& e, Box box, Canvas canvas, const float* color, const float* picture, const float* weights,
             float* v_mean, float* v_conic, Projection* out) {
  if (weights)
    gradients<C, true, true>(e, box, canvas, color, picture, weights, v_mean, v_conic, out->with, &out->self);
  else
    gradients<C, true, false>(e, box, canvas, color, picture, weights, v_mean, v_conic, out->with, &out->self);
}

Foreseen foresee(const Sightings& s, const CourseChange& change) {
  const float *a = change.from, *b = change.to, *m = change.apart;
  v16 drift = zero(), shared = zero(), self = zero();
  for (int i = 0; i < s.count; i += kLanes) {
    const v16 x = load(s.center[0] + i), y = load(s.center[1] + i), after = x - splat(b[2]);
    const v16 dx = after * b[3] - (x - splat(a[2])) * a[3] + splat(b[0] - a[0]);
    const v16 dy = (y - splat(b[2])) * b[4] - (y - splat(a[2])) * a[4] + splat(b[1] - a[1]);
    const v16 old = load(s.fade + i);
    const v16 fade = load(s.gain + i) * exp_negative(clamp(after * after * (-0.5f * change.precision), -79.0f, 0.0f));
    drift += load(s.slope[0] + i) * dx + load(s.slope[1] + i) * dy + load(s.along + i) * (fade - old) +
             (load(s.bend[0] + i) * dx * dx + load(s.bend[2] + i) * dy * dy) * 0.5f + load(s.bend[1] + i) * dx * dy;
    const v16 far = dx * dx * m[0] + dx * dy * (2 * m[1]) + dy * dy * m[2];
    shared += old * fade * exp_negative(clamp(far * -0.5f, -79.0f, 0.0f));
    self += fade * fade;
  }
  return {sum(drift), sum(shared), sum(self)};
}

// Inner products of g with a picture and with itself, each pixel weighed by `weights` where there are any.
template <int C, bool kWeighted>
SPLAT2D_INLINE void project_onto(const Ellipse& e, Box box, Canvas canvas, const float* picture, const float* weights,
                                 Projection* out) {
  const size_t plane = static_cast<size_t>(canvas.width) * canvas.height;
  v16 with[C], self = zero();
  for (int c = 0; c < C; ++c) with[c] = zero();
  sweep(
      e, box, [](const v16&) SPLAT2D_LAMBDA_INLINE {},
      [&](int x, int y, const v16& g, float) SPLAT2D_LAMBDA_INLINE {
        const size_t at = static_cast<size_t>(y) * canvas.width + x;
        const int room = canvas.width - x;
        const auto pixels = [&](const float* p)
                                SPLAT2D_LAMBDA_INLINE { return room >= kLanes ? load(p) : load_partial(p, room); };
        v16 weighed = g;
        if constexpr (kWeighted) weighed = g * pixels(weights + at);
        for (int c = 0; c < C; ++c) with[c] += weighed * pixels(picture + c * plane + at);
        self += weighed * g;
      },
      [](const v16&) SPLAT2D_LAMBDA_INLINE {});
  for (int c = 0; c < C; ++c) out->with[c] = sum(with[c]);
  out->self = sum(self);
}

template <int C>
void project(const Ellipse& e, Box box, Canvas canvas, const float* picture, Projection* out) {
  project_onto<C, false>(e, box, canvas, picture, nullptr, out);
}

template <int C>
void project_weighted(const Ellipse& e, Box box, Canvas canvas, const float* picture, const float* weights,
                      Projection* out) {
  project_onto<C, true>(e, box, canvas, picture, weights, out);
}

template <int C>
void add(const Ellipse& e, Box box, Canvas canvas, const float* color, float* picture) {
  const size_t plane = static_cast<size_t>(canvas.width) * canvas.height;
  sweep(
      e, box, [](const v16&) SPLAT2D_LAMBDA_INLINE {},
      [&](int x, int y, const v16& g, float) SPLAT2D_LAMBDA_INLINE {
        float* p = picture + static_cast<size_t>(y) * canvas.width + x;
        // Beyond the box another thread may be adding a splat of its own.
        const int room = box.x1 - x;
        for (int c = 0; c < C; ++c) {
          if (room >= kLanes) {
            store(p + c * plane, load(p + c * plane) + g * color[c]);
          } else {
            float lanes[kLanes];
            store(lanes, g * color[c]);
            for (int l = 0; l < room; ++l) p[c * plane + l] += lanes[l];
          }
        }
      },
      [](const v16&) SPLAT2D_LAMBDA_INLINE {});
}

double count_pairs(const Ellipse& e, Box box) {
  double pairs = 0;
  visit(
      e, box,
      [&](int, int, const v16& g, const v16&) SPLAT2D_LAMBDA_INLINE {
        float lanes[kLanes];
        store(lanes, g);
        for (float lane : lanes) pairs += lane > 0.0f;
      },
      [](float) SPLAT2D_LAMBDA_INLINE {});
  return pairs;
}

double total(const v16& lanes) {
  float a[kLanes];
  store(a, lanes);
  double t = 0;
  for (float lane : a) t += lane;
  return t;
}

double dot(const float* a, const float* b, int count) {
  constexpr int kSums = 4;  // at a time, since an addition takes longer than a load
  v16 lanes[kSums];
  for (v16& l : lanes) l = zero();
  int i = 0;
  for (; i + kSums * kLanes <= count; i += kSums * kLanes)
    for (int s = 0; s < kSums; ++s) lanes[s] += load(a + i + s * kLanes) * load(b + i + s * kLanes);
  for (; i + kLanes <= count; i += kLanes) lanes[0] += load(a + i) * load(b + i);
  if (i < count) lanes[0] += load_partial(a + i, count - i) * load_partial(b + i, count - i);
  return total((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
}

void add_scaled(float* a, const float* b, float factor, int count) {
  for (int i = 0; i < count; ++i) a[i] += factor * b[i];
}

double copy_and_square(const float* from, float* to, int count) {
  __builtin_memcpy(to, from, sizeof(float) * count);
  return dot(from, from, count);
}

double saturate(const float* from, const int8_t* signs, float free, int count, float* to) {
  for (int i = 0; i < count; ++i) {
    const float sign = signs[i], beyond = sign * from[i], up = beyond < 0.0f ? 0.0f : beyond;
    to[i] = from[i] - sign * (free < up ? free : up);
  }
  return dot(to, to, count);
}

void energy_row(const float* picture, size_t plane, int channels, float factor, int width, float* out) {
  for (int x = 0; x < width; ++x) out[x] = 0.0f;
  for (int c = 0; c < channels; ++c)
    for (int x = 0; x < width; ++x) out[x] += factor * picture[c * plane + x] * picture[c * plane + x];
}

void bytes_row(const float* row, int width, int channels, bool unpremultiply, unsigned char* out) {
  const float* alpha = row + (channels - 1) * kTilePlane;
  for (int c = 0; c < channels; ++c) {
    const float* plane = row + c * kTilePlane;
    if (unpremultiply && c + 1 < channels) {
      for (int x = 0; x < width; ++x) out[x * channels + c] = to_byte(straight(plane[x], alpha[x]));
    } else {
      for (int x = 0; x < width; ++x) out[x * channels + c] = to_byte(plane[x]);
    }
  }
}

void sum_rows(const float* const* rows, const float* factors, int count, int width, float* out) {
  constexpr int kSums = 4;  // at a time
  int x = 0;
  for (; x + kSums * kLanes <= width; x += kSums * kLanes) {
    v16 sums[kSums];
    for (v16& s : sums) s = zero();
    for (int i = 0; i < count; ++i) {
      const v16 factor = splat(factors[i]);
      for (int s = 0; s < kSums; ++s) sums[s] += load(rows[i] + x + s * kLanes) * factor;
    }
    for (int s = 0; s < kSums; ++s) store(out + x + s * kLanes, sums[s]);
  }
  for (; x + kLanes <= width; x += kLanes) {
    v16 sum = zero();
    for (int i = 0; i < count; ++i) sum += load(rows[i] + x) * factors[i];
    store(out + x, sum);
  }
  for (; x < width; ++x) {
    float sum = 0;
    for (int i = 0; i < count; ++i) sum += rows[i][x] * factors[i];
    out[x] = sum;
  }
}

void weigh_rows(const float* p, size_t stride, const float* weights, int count, int width, float* out) {
  int x = 0;
  for (; x + kLanes <= width; x += kLanes) {
    v16 sum = zero();
    for (int i = 0; i < count; ++i) sum += load(p + i * stride + x) * weights[i];
    store(out + x, sum);
  }
  for (; x < width; ++x) {
    float sum = 0;
    for (int i = 0; i < count; ++i) sum += p[i * stride + x] * weights[i];
    out[x] = sum;
  }
}

void multiply(const float* a, const float* b, int count, float* out) {
  for (int i = 0; i < count; ++i) out[i] = a[i] * b[i];
}

void widen_row(const float* coarse, const float* base, int width, float* out) {
  constexpr float w[4] = {cubic_tap(0), cubic_tap(1), cubic_tap(2), cubic_tap(3)};
  for (int j = 0; j < width / 2; ++j) {
    const float* p = coarse + j;
    out[2 * j] = base[2 * j] + (w[0] * p[0] + w[1] * p[1] + w[2] * p[2] + w[3] * p[3]);
    out[2 * j + 1] = base[2 * j + 1] + (w[3] * p[1] + w[2] * p[2] + w[1] * p[3] + w[0] * p[4]);
  }
  if (width % 2) {
    const float* p = coarse + width / 2;
    out[width - 1] = base[width - 1] + (w[0] * p[0] + w[1] * p[1] + w[2] * p[2] + w[3] * p[3]);
  }
}

void narrow_row(const float* fine, int width, float* scratch, float* out) {
  constexpr float w[4] = {cubic_tap(0), cubic_tap(1), cubic_tap(2), cubic_tap(3)};
  const int half = (width + 1) / 2;
  float *even = scratch + 4, *odd = even + half + 8;
  for (int i = -4; i < 0; ++i) even[i] = odd[i] = 0.0f;
  for (int i = half; i < half + 4; ++i) even[i] = odd[i] = 0.0f;
  for (int j = 0; j < width / 2; ++j) {
    even[j] = fine[2 * j];
    odd[j] = fine[2 * j + 1];
  }
  if (width % 2) {
    even[half - 1] = fine[width - 1];
    odd[half - 1] = 0.0f;
  }
  for (int i = 0; i < half + 4; ++i)
    out[i] = (w[0] * even[i] + w[1] * even[i - 1] + w[2] * even[i - 2] + w[3] * even[i - 3]) +
             (w[3] * odd[i - 1] + w[2] * odd[i - 2] + w[1] * odd[i - 3] + w[0] * odd[i - 4]);
}

void halve_row(const float* p, float outer, float inner, int count, float* out) {
  for (int x = 0; x < count; ++x) out[x] = outer * (p[2 * x - 1] + p[2 * x + 2]) + inner * (p[2 * x] + p[2 * x + 1]);
}

void double_row(const float* p, float outer, float inner, int count, float* out) {
  for (int x = 0; x < count; ++x) {
    out[2 * x] += outer * p[x - 1] + inner * p[x];
    out[2 * x + 1] += inner * p[x] + outer * p[x + 1];
  }
}

void clear_saturated(const int8_t* signs, const float* values, int count, float* out) {
  for (int i = 0; i < count; ++i) out[i] = (signs[i] != 0) & (values[i] == 0.0f) ? 0.0f : out[i];
}

// Contraction is wanted: it measures fused multiply-adds.
#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast")
double peak(long rounds, float* sink) {
  NativeFloat a0 = NativeFloat{} + 1, a1 = a0 + 1, a2 = a1 + 1, a3 = a2 + 1, a4 = a3 + 1, a5 = a4 + 1, a6 = a5 + 1,
              a7 = a6 + 1;
  const NativeFloat m = NativeFloat{} + sink[0], b = NativeFloat{} + sink[1];
  for (long r = 0; r < rounds; ++r) {
    a0 = a0 * m + b;
    a1 = a1 * m + b;
    a2 = a2 * m + b;
    a3 = a3 * m + b;
    a4 = a4 * m + b;
    a5 = a5 * m + b;
    a6 = a6 * m + b;
    a7 = a7 * m + b;
  }
  const NativeFloat total = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7;
  sink[0] = total[0];
  return static_cast<double>(rounds) * 8 * kNative;
}
#pragma GCC pop_options

}  // namespace

extern const Kernels SPLAT2D_KERNELS;
const Kernels SPLAT2D_KERNELS = {
    {accumulate<1>, accumulate<2>, accumulate<3>, accumulate<4>},
    {sketch<1>, sketch<2>, sketch<3>, sketch<4>},
    {backward<1>, backward<2>, backward<3>, backward<4>},
    {observe<1>, observe<2>, observe<3>, observe<4>},
    foresee,
    {project<1>, project<2>, project<3>, project<4>},
    {project_weighted<1>, project_weighted<2>, project_weighted<3>, project_weighted<4>},
    {add<1>, add<2>, add<3>, add<4>},
    count_pairs,
    dot,
    add_scaled,
    copy_and_square,
    saturate,
    energy_row,
    bytes_row,
    sum_rows,
    weigh_rows,
    multiply,
    widen_row,
    narrow_row,
    halve_row,
    double_row,
    clear_saturated,
    add_wave,
    peak,
};

}  // namespace splat2d
