// Sixteen-lane float vectors in portable GCC/Clang vector extensions.
//
// Every kernel works on sixteen lanes whatever the hardware (one AVX-512 register, two of AVX2, four of SSE or
// NEON), so a sum has the same order everywhere; with -ffp-contract=off the results are the same bits.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
// GCC 12 warns of its own intrinsics.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#define SPLAT2D_INLINE inline __attribute__((always_inline))
// The same for lambdas, whose attribute stands behind the parameter list.
#define SPLAT2D_LAMBDA_INLINE __attribute__((always_inline))

namespace splat2d {

constexpr int kLanes = 16;

// Included by files that are compiled once for each instruction set: nothing here may have external linkage.
namespace {

#if defined(__AVX512F__)
constexpr int kNative = 16;
#elif defined(__AVX__)
constexpr int kNative = 8;
#else
constexpr int kNative = 4;
#endif
constexpr int kParts = kLanes / kNative;

typedef float NativeFloat __attribute__((vector_size(4 * kNative)));
typedef int32_t NativeInt __attribute__((vector_size(4 * kNative)));

struct v16i {
  NativeInt part[kParts];
};

struct v16 {
  NativeFloat part[kParts];
};

#define SPLAT2D_EACH for (int p_ = 0; p_ < kParts; ++p_)

#define SPLAT2D_OPERATOR(op)                                   \
  SPLAT2D_INLINE v16 operator op(const v16& a, const v16& b) { \
    v16 r;                                                     \
    SPLAT2D_EACH r.part[p_] = a.part[p_] op b.part[p_];        \
    return r;                                                  \
  }                                                            \
  SPLAT2D_INLINE v16 operator op(const v16& a, float b) {      \
    v16 r;                                                     \
    SPLAT2D_EACH r.part[p_] = a.part[p_] op b;                 \
    return r;                                                  \
  }
SPLAT2D_OPERATOR(+)
SPLAT2D_OPERATOR(-)
SPLAT2D_OPERATOR(*)
#undef SPLAT2D_OPERATOR

SPLAT2D_INLINE v16& operator+=(v16& a, const v16& b) {
  SPLAT2D_EACH a.part[p_] += b.part[p_];
  return a;
}

SPLAT2D_INLINE v16 splat(float x) {
  v16 r;
  SPLAT2D_EACH r.part[p_] = NativeFloat{} + x;
  return r;
}

SPLAT2D_INLINE v16 load(const float* p) {
  v16 r;
  SPLAT2D_EACH std::memcpy(&r.part[p_], p + p_ * kNative, sizeof(NativeFloat));
  return r;
}

SPLAT2D_INLINE void store(float* p, const v16& v) {
  SPLAT2D_EACH std::memcpy(p + p_ * kNative, &v.part[p_], sizeof(NativeFloat));
}

SPLAT2D_INLINE v16 zero() { return splat(0.0f); }

SPLAT2D_INLINE v16 iota() {
  const float lanes[kLanes] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return load(lanes);
}

// The first `count` lanes from p, zeros beyond: for the last columns of a picture's last row.
SPLAT2D_INLINE v16 load_partial(const float* p, int count) {
  float buffer[kLanes] = {};
  for (int i = 0; i < count; ++i) buffer[i] = p[i];
  return load(buffer);
}

// Lanes where a >= b and c <= d.
SPLAT2D_INLINE v16i where_between(const v16& a, const v16& b, const v16& c, float d) {
  v16i r;
  SPLAT2D_EACH r.part[p_] = (a.part[p_] >= b.part[p_]) & (c.part[p_] <= d);
  return r;
}

SPLAT2D_INLINE v16 keep_where(const v16i& mask, const v16& v) {
  v16 r;
  SPLAT2D_EACH r.part[p_] = (NativeFloat)((NativeInt)v.part[p_] & mask.part[p_]);
  return r;
}

// v where a >= b, 0 elsewhere.
SPLAT2D_INLINE v16 keep_from(const v16& a, const v16& b, const v16& v) {
  v16 r;
#if defined(__AVX512F__)
  r.part[0] = (NativeFloat)_mm512_maskz_mov_ps(_mm512_cmp_ps_mask((__m512)a.part[0], (__m512)b.part[0], _CMP_GE_OQ),
                                               (__m512)v.part[0]);
#else
  SPLAT2D_EACH r.part[p_] = (NativeFloat)((NativeInt)v.part[p_] & (a.part[p_] >= b.part[p_]));
#endif
  return r;
}

// exp(x) for |x| < 80; relative error below 2e-7 (minimax).
SPLAT2D_INLINE v16 exp_of(const v16& x) {
  const v16 t = x * 1.44269504f;
  // Adding 1.5 * 2^23 rounds to the nearest integer in the low mantissa bits.
  const v16 magic = splat(12582912.0f);
  const v16 shifted = t + magic;
  const v16 f = t - (shifted - magic);
  v16 p = splat(1.32647e-3f);
  p = p * f + 9.67151e-3f;
  p = p * f + 5.550734e-2f;
  p = p * f + 2.4022242e-1f;
  p = p * f + 6.9314698e-1f;
  p = p * f + 1.0f;
  v16 r;
  SPLAT2D_EACH r.part[p_] = (NativeFloat)((NativeInt)p.part[p_] + ((NativeInt)shifted.part[p_] << 23));
  return r;
}

SPLAT2D_INLINE v16 exp_negative(const v16& x) { return exp_of(x); }

// cos(2 pi x) and sin(2 pi x) for |x| < 2^20; error below 1e-6 (minimax).
SPLAT2D_INLINE void turn(const v16& x, v16* cosine, v16* sine) {
  const v16 magic = splat(12582912.0f);
  const v16 f = x - ((x + magic) - magic), q = f * f;
  v16 c = splat(-21.07675f), s = splat(-12.2712476f);
  c = c * q + 58.79402f;
  s = s * q + 41.2053854f;
  c = c * q + -85.2723933f;
  s = s * q + -76.5800983f;
  c = c * q + 64.9287263f;
  s = s * q + 81.5961837f;
  c = c * q + -19.7389825f;
  s = s * q + -41.3414214f;
  *cosine = c * q + 0.999999222f;
  *sine = (s * q + 6.28318282f) * f;
}

SPLAT2D_INLINE v16 clamp(const v16& v, float low, float high) {
  const NativeFloat a = NativeFloat{} + low, b = NativeFloat{} + high;
  v16 r;
  SPLAT2D_EACH {
    r.part[p_] = v.part[p_] > a ? v.part[p_] : a;
    r.part[p_] = r.part[p_] < b ? r.part[p_] : b;
  }
  return r;
}

// Lanes eight apart first, then four, two and one.
SPLAT2D_INLINE float sum(const v16& v) {
#if defined(__SSE2__)
#if defined(__AVX512F__)
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256((__m512)v.part[0]),
                                     _mm256_castpd_ps(_mm512_extractf64x4_pd((__m512d)v.part[0], 1)));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
#elif defined(__AVX__)
  const __m256 eight = (__m256)(v.part[0] + v.part[1]);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
#else
  const __m128 four = (__m128)((v.part[0] + v.part[2]) + (v.part[1] + v.part[3]));
#endif
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
#else
  float a[kLanes];
  store(a, v);
  for (int width = 8; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) a[i] += a[i + width];
  return a[0];
#endif
}

SPLAT2D_INLINE v16i load_ints(const int32_t* p) {
  v16i r;
  SPLAT2D_EACH std::memcpy(&r.part[p_], p + p_ * kNative, sizeof(NativeInt));
  return r;
}

SPLAT2D_INLINE void store_ints(int32_t* p, const v16i& v) {
  SPLAT2D_EACH std::memcpy(p + p_ * kNative, &v.part[p_], sizeof(NativeInt));
}

// counts[i] += value < v[i]
SPLAT2D_INLINE void count_above(int32_t value, const v16i& v, v16i* counts) {
  SPLAT2D_EACH counts->part[p_] -= NativeInt{} + value < v.part[p_];
}

// sum[i] += w[2 i] x[0] + w[2 i + 1] x[1], which no 32 bits overflow.
SPLAT2D_INLINE void add_products(v16i* sum, const int16_t* w, const int16_t* x) {
  int32_t pair;
  std::memcpy(&pair, x, sizeof pair);
#if defined(__AVX512BW__)
  const __m512i products = _mm512_madd_epi16(_mm512_loadu_si512(w), _mm512_set1_epi32(pair));
  sum->part[0] = (NativeInt)_mm512_add_epi32((__m512i)sum->part[0], products);
#elif defined(__AVX2__)
  const __m256i both = _mm256_set1_epi32(pair);
  SPLAT2D_EACH {
    const __m256i products = _mm256_madd_epi16(_mm256_loadu_si256((const __m256i*)(w + 16 * p_)), both);
    sum->part[p_] = (NativeInt)_mm256_add_epi32((__m256i)sum->part[p_], products);
  }
#elif defined(__SSE2__)
  const __m128i both = _mm_set1_epi32(pair);
  for (int i = 0; i < 4; ++i) {
    __m128i* to = (__m128i*)sum->part + i;
    *to = _mm_add_epi32(*to, _mm_madd_epi16(_mm_loadu_si128((const __m128i*)(w + 8 * i)), both));
  }
#elif defined(__wasm_simd128__)
  const v128_t both = wasm_i32x4_splat(pair);
  for (int i = 0; i < 4; ++i) {
    v128_t* to = (v128_t*)sum->part + i;
    *to = wasm_i32x4_add(*to, wasm_i32x4_dot_i16x8(wasm_v128_load(w + 8 * i), both));
  }
#elif defined(__ARM_NEON)
  const int16x8_t both = vreinterpretq_s16_s32(vdupq_n_s32(pair));
  for (int i = 0; i < 4; ++i) {
    int32x4_t* to = (int32x4_t*)sum->part + i;
    const int16x8_t eight = vld1q_s16(w + 8 * i);
    const int32x4_t low = vmull_s16(vget_low_s16(eight), vget_low_s16(both));
    const int32x4_t high = vmull_s16(vget_high_s16(eight), vget_high_s16(both));
    *to = vaddq_s32(*to, vpaddq_s32(low, high));
  }
#else
  int32_t lanes[kLanes];
  std::memcpy(lanes, sum, sizeof lanes);
  for (int i = 0; i < kLanes; ++i) lanes[i] += w[2 * i] * x[0] + w[2 * i + 1] * x[1];
  std::memcpy(sum, lanes, sizeof lanes);
#endif
}

// Sums >> shift, kept from low to high, as 16 bits.
SPLAT2D_INLINE void store_activations(const v16i& sums, int shift, int low, int high, int16_t* to) {
  const NativeInt least = NativeInt{} + low, most = NativeInt{} + high;
  typedef int16_t Half __attribute__((vector_size(2 * kNative)));
  SPLAT2D_EACH {
    NativeInt v = sums.part[p_] >> shift;
    v = v > least ? v : least;
    v = v < most ? v : most;
    const Half half = __builtin_convertvector(v, Half);
    std::memcpy(to + p_ * kNative, &half, sizeof half);
  }
}

#undef SPLAT2D_EACH

}  // namespace
}  // namespace splat2d
