// Compiled once for each instruction set with SPLAT2D_MODEL_KERNELS naming the table it defines; see
// cpp/math/kernels.cpp on what may stand here.
#include "model/kernels.hpp"

#include "math/simd.hpp"

namespace splat2d {
namespace {

// Which of sixteen integers are below a limit.
SPLAT2D_INLINE uint32_t below(const int32_t* values, int32_t limit) {
#if defined(__AVX512F__)
  return _mm512_cmplt_epi32_mask(_mm512_loadu_si512(values), _mm512_set1_epi32(limit));
#elif defined(__AVX2__)
  const __m256i most = _mm256_set1_epi32(limit);
  uint32_t mask = 0;
  for (int i = 0; i < 2; ++i) {
    const __m256i v = _mm256_loadu_si256((const __m256i*)(values + 8 * i));
    mask |= (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(most, v))) << (8 * i);
  }
  return mask;
#else
  uint32_t mask = 0;
  for (int i = 0; i < 16; ++i) mask |= (uint32_t)(values[i] < limit) << i;
  return mask;
#endif
}

// Products are below 2^43, scores below 2^27; of points beyond the ranges, which are not used, they may be anything.
SPLAT2D_INLINE int32_t score_of(int32_t x, int32_t y, const Points& points, int32_t at) {
  const uint32_t dx = (uint32_t)((points.x[at] - x) >> 8), dy = (uint32_t)((points.y[at] - y) >> 8);
  return (int32_t)((uint64_t)(dx * dx + dy * dy) * (uint32_t)points.weight[at] >> 16);
}

// Candidates in the order in which they came: score << 4 | their place here, so that no two are equal.
struct Candidates {
  static constexpr int kRoom = 16;
  int count = 0;
  int32_t key[kRoom], at[kRoom] = {};

  // Those of the smallest keys, the smallest first. Each goes where its rank among the others is, so that none waits
  // for another.
  SPLAT2D_INLINE void sort(Nearest* nearest) {
    for (int i = count; i < kRoom; ++i) key[i] = INT32_MAX;
    const v16i keys = load_ints(key);
    v16i ranks{};
    for (int j = 0; j < count; ++j) count_above(key[j], keys, &ranks);
    int32_t rank[kRoom];
    store_ints(rank, ranks);
    uint64_t order = 0;  // four bits a place; those of no candidates are above all others
    for (int i = 0; i < kRoom; ++i) order |= (uint64_t)i << (4 * rank[i]);
    nearest->count = count < Nearest::kMost ? count : Nearest::kMost;
    for (int j = 0; j < Nearest::kMost; ++j) {
      const int i = order >> (4 * j) & 15;
      nearest->score[j] = key[i] >> 4;
      nearest->at[j] = at[i];
    }
  }
};

void find_nearest(int32_t x, int32_t y, const Points& points, const PointRange* ranges, int count, int32_t limit,
                  Nearest* nearest) {
  constexpr int kMost = Nearest::kMost, kBlock = 16;
  Candidates found;
  for (int r = 0; r < count; ++r)
    for (int32_t begin = ranges[r].begin; begin < ranges[r].end; begin += kBlock) {
      const int n = ranges[r].end - begin;
      int32_t scores[kBlock];
      for (int i = 0; i < kBlock; ++i) scores[i] = score_of(x, y, points, begin + i);
      uint32_t left = below(scores, limit);
      if (n < kBlock) left &= (1u << n) - 1;
      for (; left; left &= left - 1) {
        const int i = __builtin_ctz(left);
        if (found.count == Candidates::kRoom) {
          found.sort(nearest);
          limit = nearest->score[kMost - 1];
          for (int j = 0; j < kMost; ++j) {
            found.key[j] = nearest->score[j] << 4 | j;
            found.at[j] = nearest->at[j];
          }
          found.count = kMost;
        }
        if (scores[i] >= limit) continue;
        found.key[found.count] = scores[i] << 4 | found.count;
        found.at[found.count++] = begin + i;
      }
    }
  found.sort(nearest);
}

// log2 of x from 1 to 2^51 in Q6, linear between powers of two: a double's exponent and the first bits behind its
// point.
SPLAT2D_INLINE int64_t log2_q6(int64_t x) {
  constexpr double kHuge = 4503599627370496.0;  // 2^52
  constexpr int64_t kHugeBits = int64_t{0x433} << 52;
  double v;
  const int64_t bits = x | kHugeBits;
  std::memcpy(&v, &bits, sizeof v);
  v -= kHuge;
  uint64_t out;
  std::memcpy(&out, &v, sizeof out);
  return static_cast<int64_t>(out >> 46) - (int64_t{1023} << 6);
}

SPLAT2D_INLINE int64_t magnitude(int64_t v) { return v < 0 ? -v : v; }

typedef int16_t EightShorts __attribute__((vector_size(16)));
typedef int32_t EightInts __attribute__((vector_size(32)));

// Columns become rows.
SPLAT2D_INLINE void transpose(EightShorts (&m)[8]) {
  EightShorts a[8], b[8];
  for (int i = 0; i < 4; ++i) {
    a[2 * i] = __builtin_shufflevector(m[2 * i], m[2 * i + 1], 0, 8, 1, 9, 2, 10, 3, 11);
    a[2 * i + 1] = __builtin_shufflevector(m[2 * i], m[2 * i + 1], 4, 12, 5, 13, 6, 14, 7, 15);
  }
  for (int h = 0; h < 8; h += 4)
    for (int i = 0; i < 2; ++i) {
      b[h + 2 * i] = __builtin_shufflevector(a[h + i], a[h + 2 + i], 0, 1, 8, 9, 2, 3, 10, 11);
      b[h + 2 * i + 1] = __builtin_shufflevector(a[h + i], a[h + 2 + i], 4, 5, 12, 13, 6, 7, 14, 15);
    }
  for (int i = 0; i < 4; ++i) {
    m[2 * i] = __builtin_shufflevector(b[i], b[4 + i], 0, 1, 2, 3, 8, 9, 10, 11);
    m[2 * i + 1] = __builtin_shufflevector(b[i], b[4 + i], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

void describe_near(const NearFields& f, int count, int64_t log_size, int64_t inverse_size, int16_t* out) {
  constexpr int N = Nearest::kMost, F = NearFields::kInputs;
  constexpr int64_t kOne = 64;
  int64_t in[8][N];  // what depends on the point: inputs 1, 2, 11 to 14, 20 and 21
  for (int i = 0; i < N; ++i) {
    const int64_t dx = f.dx[i], dy = f.dy[i], closeness = f.closeness[i];
    const int64_t across = (dx * inverse_size) >> 22, down = (dy * inverse_size) >> 22;
    const int64_t log_across = log2_q6(kOne + magnitude(across)) - 6 * kOne;
    const int64_t log_down = log2_q6(kOne + magnitude(down)) - 6 * kOne;
    const int64_t along = magnitude((dx * f.cosine[i] + dy * f.sine[i]) >> 15);
    const int64_t away = magnitude((dy * f.cosine[i] - dx * f.sine[i]) >> 15);
    // Cosine and sine of twice the direction to the known splat, Q6. Exact: no quotient below 2^30 comes nearer to the
    // next integer than a double can tell.
    const int64_t u = dx >> 6, v = dy >> 6;
    const auto inverse = static_cast<int32_t>(1073741824.0 / static_cast<double>(u * u + v * v + 1));
    const int64_t toward2 = ((u * u - v * v) * inverse) >> 24, across2 = (2 * u * v * inverse) >> 24;
    in[0][i] = across < 0 ? -log_across : log_across;
    in[1][i] = down < 0 ? -log_down : log_down;
    in[2][i] = closeness;
    in[3][i] = log2_q6(kOne + ((along * f.inverse_long[i]) >> 22)) - 6 * kOne;
    in[4][i] = log2_q6(kOne + ((away * f.inverse_short[i]) >> 22)) - 6 * kOne;
    in[5][i] = (toward2 * f.twice_cosine[i] + across2 * f.twice_sine[i]) >> 15;
    in[6][i] = (closeness * toward2) >> 6;
    in[7][i] = (closeness * across2) >> 6;
  }
  EightShorts seen[8];
  for (int k = 0; k < 8; ++k) {
    int16_t column[N];
    for (int i = 0; i < N; ++i) {
      const int64_t v = in[k][i];
      column[i] = static_cast<int16_t>(v < -kMostActive ? -kMostActive : v > kMostActive ? kMostActive : v);
    }
    std::memcpy(&seen[k], column, sizeof column);
  }
  transpose(seen);
  const EightShorts most = EightShorts{} + static_cast<int16_t>(kMostActive);
  for (int i = 0; i < count; ++i, out += F) {
    EightShorts fixed;
    std::memcpy(&fixed, f.fixed[i].value, sizeof fixed);
    fixed[0] = static_cast<int16_t>((f.log_size[i] - log_size) >> 10);
    fixed = fixed < most ? fixed : most;
    fixed = fixed > -most ? fixed : -most;
    // The nearer, the more: three colours, then where it leans.
    const EightInts products = __builtin_convertvector(fixed, EightInts) * f.closeness[i] >> 6;
    const EightShorts near = __builtin_convertvector(products, EightShorts), own = seen[i];
    const EightShorts middle = __builtin_shufflevector(own, near, 2, 3, 4, 5, 12, 13, 14, 10);
    const EightShorts last = __builtin_shufflevector(near, own, 3, 14, 15, 3, 14, 15, 3, 14);
    out[0] = kOne;
    std::memcpy(out + 1, &own, 2 * sizeof *out);
    std::memcpy(out + 3, &fixed, sizeof fixed);
    std::memcpy(out + 11, &middle, sizeof middle);
    std::memcpy(out + 19, &last, 3 * sizeof *out);
  }
  std::memset(out, 0, static_cast<size_t>(N - count) * F * sizeof *out);
}

// Outputs of `blocks` times sixteen for `rows` rows at once, so that a weight is loaded once for all rows and an input
// once for all outputs.
template <int kRows, int kBlocks>
SPLAT2D_INLINE void dense_part(const DenseLayer& layer, const int16_t* const (&x)[2][kRows], const int (&pairs)[2],
                               const int32_t* index, int o, int low, int16_t* y, size_t stride) {
  const int width = layer.width;
  v16i sums[kRows][kBlocks];
  for (int r = 0; r < kRows; ++r)
    for (int b = 0; b < kBlocks; ++b)
      sums[r][b] = load_ints(layer.bias + (index ? static_cast<size_t>(index[r]) * width : size_t{0}) + o + b * kLanes);
  const int16_t* w = layer.weight + 2 * o;
  for (int part = 0; part < 2; ++part)
    for (int p = 0; p < pairs[part]; ++p, w += 2 * width)
      for (int r = 0; r < kRows; ++r)
        for (int b = 0; b < kBlocks; ++b) add_products(&sums[r][b], w + 2 * b * kLanes, x[part][r] + 2 * p);
  for (int r = 0; r < kRows; ++r)
    for (int b = 0; b < kBlocks; ++b)
      store_activations(sums[r][b], layer.shift, low, kMostActive, y + r * stride + o + b * kLanes);
}

template <int kRows>
SPLAT2D_INLINE void dense_rows(const DenseLayer& layer, const DenseRows& first, const DenseRows& behind, size_t row,
                               const int32_t* index, int low, int16_t* y, size_t stride) {
  const int16_t* x[2][kRows];
  const int pairs[2] = {first.pairs, behind.pairs};
  for (int r = 0; r < kRows; ++r) {
    x[0][r] = first.data + first.stride * (first.row ? (size_t)first.row[row + r] : row + r);
    x[1][r] = behind.data + behind.stride * (behind.row ? (size_t)behind.row[row + r] : row + r);
  }
  if (index) index += row;
  y += row * stride;
  int o = 0;
#if defined(__AVX512BW__)
  // Elsewhere registers are too few.
  for (; o + 3 * kLanes <= layer.width; o += 3 * kLanes)
    dense_part<kRows, 3>(layer, x, pairs, index, o, low, y, stride);
  for (; o + 2 * kLanes <= layer.width; o += 2 * kLanes)
    dense_part<kRows, 2>(layer, x, pairs, index, o, low, y, stride);
#endif
  for (; o < layer.width; o += kLanes) dense_part<kRows, 1>(layer, x, pairs, index, o, low, y, stride);
}

void dense(const DenseLayer& layer, const DenseRows& x, const DenseRows& behind, const int32_t* index, size_t rows,
           int low, int16_t* y, size_t stride) {
#if defined(__wasm__) || (defined(__SSE2__) && !defined(__AVX2__))
  constexpr int kTogether = 2;  // each needs four of sixteen registers for its sums
#else
  constexpr int kTogether = 4;
#endif
  size_t r = 0;
  for (; r + kTogether <= rows; r += kTogether) dense_rows<kTogether>(layer, x, behind, r, index, low, y, stride);
  for (; r < rows; ++r) dense_rows<1>(layer, x, behind, r, index, low, y, stride);
}

// Products stay below 2^53 and quotients below 2^16, so that cutting the double quotient is the exact floor.
void normalise(const int32_t* shares, int symbols, uint16_t* weights) {
  int64_t sum = 0;
  int32_t top = 0;
  for (int i = 0; i < symbols; ++i) {
    sum += shares[i];
    top = shares[i] > top ? shares[i] : top;
  }
  const double divisor = static_cast<double>(sum), total = static_cast<double>(65536 - symbols);
  int32_t used = 0;
  for (int i = 0; i < symbols; ++i) {
    const int32_t weight = static_cast<int32_t>(static_cast<double>(shares[i]) * total / divisor) + 1;
    weights[i] = static_cast<uint16_t>(weight);
    used += weight;
  }
  int largest = 0;
  while (shares[largest] != top) ++largest;
  weights[largest] = static_cast<uint16_t>(weights[largest] + (65536 - used));
}

#if defined(__AVX512BW__)
SPLAT2D_INLINE int largest_of(__m512i a, __m512i b) {
  const __m512i most = _mm512_max_epi16(a, b);
  const __m256i half = _mm256_max_epi16(_mm512_castsi512_si256(most), _mm512_extracti64x4_epi64(most, 1));
  const __m128i part = _mm_max_epi16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  const __m128i flip = _mm_set1_epi16(0x7fff);
  return (int16_t)(_mm_extract_epi16(_mm_minpos_epu16(_mm_xor_si128(part, flip)), 0) ^ 0x7fff);
}

void weigh(const int16_t* logits, int count, int symbols, const int16_t* powers, uint16_t* weights) {
  const __mmask32 low = count >= 32 ? 0xffffffffu : (1u << count) - 1, high = count > 32 ? (1u << (count - 32)) - 1 : 0;
  const __m512i none = _mm512_set1_epi16(-0x7fff);
  const __m512i a = _mm512_mask_loadu_epi16(none, low, logits), b = _mm512_mask_loadu_epi16(none, high, logits + 32);
  const __m512i top = _mm512_set1_epi16((int16_t)largest_of(a, b));
  const __m512i first = _mm512_loadu_si512(powers), second = _mm512_loadu_si512(powers + 32);
  const __m512i da = _mm512_sub_epi16(top, a), db = _mm512_sub_epi16(top, b);
  const __m512i sa =
      _mm512_maskz_srlv_epi16(low, _mm512_permutex2var_epi16(first, da, second), _mm512_srli_epi16(da, 6));
  const __m512i sb =
      _mm512_maskz_srlv_epi16(high, _mm512_permutex2var_epi16(first, db, second), _mm512_srli_epi16(db, 6));
  const __m512i ones = _mm512_set1_epi16(1);
  const int sum = _mm512_reduce_add_epi32(_mm512_add_epi32(_mm512_madd_epi16(sa, ones), _mm512_madd_epi16(sb, ones)));
  const __m512i factor = _mm512_set1_epi16((int16_t)(((uint32_t)(65536 - symbols) << 15) / (uint32_t)sum));
  const __mmask32 all_low = symbols >= 32 ? 0xffffffffu : (1u << symbols) - 1;
  const __mmask32 all_high = symbols > 32 ? (1u << (symbols - 32)) - 1 : 0;
  const __m512i wa = _mm512_maskz_add_epi16(all_low, _mm512_mulhi_epu16(_mm512_slli_epi16(sa, 1), factor), ones);
  const __m512i wb = _mm512_maskz_add_epi16(all_high, _mm512_mulhi_epu16(_mm512_slli_epi16(sb, 1), factor), ones);
  const __m512i bytes = _mm512_set1_epi16(255),
                both = _mm512_add_epi16(_mm512_and_si512(wa, bytes), _mm512_and_si512(wb, bytes));
  const __m512i tops = _mm512_add_epi16(_mm512_srli_epi16(wa, 8), _mm512_srli_epi16(wb, 8));
  const int used = _mm512_reduce_add_epi32(_mm512_madd_epi16(both, ones)) +
                   256 * _mm512_reduce_add_epi32(_mm512_madd_epi16(tops, ones));
  _mm512_mask_storeu_epi16(weights, all_low, wa);
  _mm512_mask_storeu_epi16(weights + 32, all_high, wb);
  const uint64_t largest = (uint64_t)_mm512_cmpeq_epi16_mask(a, top) | (uint64_t)_mm512_cmpeq_epi16_mask(b, top) << 32;
  const int at = __builtin_ctzll(largest);
  weights[at] = (uint16_t)(weights[at] + (65536 - used));
}
#else
void weigh(const int16_t* logits, int count, int symbols, const int16_t* powers, uint16_t* weights) {
  constexpr int kMost = 48;
  uint16_t shares[kMost] = {};
  int top = logits[0];
  for (int i = 1; i < count; ++i) top = logits[i] > top ? logits[i] : top;
  uint32_t sum = 0;
  for (int i = 0; i < count; ++i) {
    const int d = top - logits[i];
    shares[i] = static_cast<uint16_t>(powers[d & 63] >> (d >> 6));
    sum += shares[i];
  }
  const auto factor = static_cast<uint16_t>((static_cast<uint32_t>(65536 - symbols) << 15) / sum);
  uint32_t used = 0;
  for (int i = 0; i < symbols; ++i) {
    const auto doubled = static_cast<uint16_t>(2 * shares[i]);
    weights[i] = static_cast<uint16_t>((static_cast<uint32_t>(doubled) * factor >> 16) + 1);
    used += weights[i];
  }
  int largest = 0;
  while (logits[largest] != top) ++largest;
  weights[largest] = static_cast<uint16_t>(weights[largest] + (65536 - used));
}
#endif

}  // namespace

extern const ModelKernels SPLAT2D_MODEL_KERNELS;
const ModelKernels SPLAT2D_MODEL_KERNELS = {find_nearest, describe_near, dense, normalise, weigh};

}  // namespace splat2d
