// Arrays, loops and sums on the CPU's cores. Results do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <numeric>
#include <utility>
#include <vector>

#include "device/precedence.hpp"
#include "device/raster.hpp"
#include "math/pool.hpp"

namespace splat2d {

// Leaves new elements as they are unless it is told a value.
template <class T>
struct Uncleared : std::allocator<T> {
  template <class U>
  struct rebind {
    using other = Uncleared<U>;
  };
  template <class U, class... Values>
  void construct(U* at, Values&&... values) {
    ::new (static_cast<void*>(at)) U(std::forward<Values>(values)...);
  }
  template <class U>
  void construct(U* at) {
    ::new (static_cast<void*>(at)) U;
  }
};

// Memory of the device.
template <class T>
class Array {
 public:
  Array() = default;
  explicit Array(size_t size) : values_(size, T()) {}
  explicit Array(const std::vector<T>& values) : values_(values.begin(), values.end()) {}

  T* data() { return values_.data(); }
  const T* data() const { return values_.data(); }
  size_t size() const { return values_.size(); }
  bool empty() const { return values_.empty(); }
  // What is there stays; new elements are zero.
  void resize(size_t size) { values_.resize(size, T()); }
  void append(const std::vector<T>& more) { values_.insert(values_.end(), more.begin(), more.end()); }
  // Over the elements from `at` on.
  void put(size_t at, const std::vector<T>& values) { std::copy(values.begin(), values.end(), values_.begin() + at); }
  Array copy() const { return *this; }
  // Elements that are yet to be written.
  static Array unset(size_t size) {
    Array out;
    out.values_ = decltype(out.values_)(size);
    return out;
  }
  std::vector<T> host() const { return {values_.begin(), values_.end()}; }

 private:
  std::vector<T, Uncleared<T>> values_;
};

// Results of sums, which may be read once they have been fetched.
class Numbers {
 public:
  explicit Numbers(size_t size) : values_(size) {}

  double* at(size_t i) { return values_.data() + i; }  // also of none
  void fetch() {}
  double operator[](size_t i) const { return values_[i]; }
  const double* data() const { return values_.data(); }

 private:
  std::vector<double> values_;
};

// Who sees to the pixels of one thing in a team: a thread, whose lanes are those of the kernels.
class Lanes {
 public:
  static constexpr int kCount = 1;  // that share out plain loops

  int lane() const { return 0; }
  bool first() const { return true; }
  // The lowest cost of all lanes, and the lowest index that has it.
  void least(float*, int*) const {}
  // The sum of what all lanes have.
  template <class T>
  T sum(T v) const {
    return v;
  }
  // Those i from 0 to count - 1 for which f(i), in order; all lanes get their number.
  template <class F>
  int select(int count, F f, int* out) const {
    int found = 0;
    for (int i = 0; i < count; ++i)
      if (f(i)) out[found++] = i;
    return found;
  }
  template <class T>
  void copy(const T& from, T* to) const {
    *to = from;
  }
  // What the first lane has written the others can read.
  void meet() const {}
  // Inner products of a Gaussian with a picture and with itself, weighed by a plane where there is one.
  Projection project(const Ellipse& e, Box box, Canvas canvas, int channels, const float* picture,
                     const float* weights) const {
    Projection out;
    if (weights)
      kernels().project_weighted[channels - 1](e, box, canvas, picture, weights, &out);
    else
      kernels().project[channels - 1](e, box, canvas, picture, &out);
    return out;
  }
  // The same, and the gradients of the product with the colour by the Gaussian's centre and conic.
  Projection observe(const Ellipse& e, Box box, Canvas canvas, int channels, const float* color, const float* picture,
                     const float* weights, float* v_mean, float* v_conic) const {
    Projection out;
    kernels().observe[channels - 1](e, box, canvas, color, picture, weights, v_mean, v_conic, &out);
    return out;
  }
  // picture += color g
  void add(const Ellipse& e, Box box, Canvas canvas, int channels, const float* color, float* picture) const {
    kernels().add[channels - 1](e, box, canvas, color, picture);
  }
  // What frames show of a splat that moves to another course.
  Foreseen foresee(const Sightings& sightings, const CourseChange& change) const {
    return kernels().foresee(sightings, change);
  }
};

// Who works on one thing together: some threads of the CPU.
class Team {
 public:
  explicit Team(int threads) : threads_(threads) {}

  // None goes on before all have come so far.
  void meet() const {}
  // f(), by one of them.
  template <class F>
  void once(F f) const {
    f();
  }
  // f(lanes, i) for i from 0 to count - 1, in any order.
  template <class F>
  void each(int count, F f) const {
    for (int i = 0; i < count; ++i) f(Lanes(), i);
  }
  // The same for what looks at about so many pixels.
  template <class F>
  void each(int count, size_t pixels, F f) const {
    each_of(pixels > kSerial ? threads_ : 1, count, [&](size_t i) { f(Lanes(), static_cast<int>(i)); });
  }
  // sums[i] = the sum of what f(lanes, i, part, parts, &sum) says of each part, for i from 0 to count - 1; each looks
  // at about so many pixels. Sums are of floats alone.
  template <class Sums, class F>
  void sum_up(int count, size_t pixels, F f, Sums* sums) const {
    const int parts = parts_of(pixels);
    if (parts == 1) return each(count, pixels, [&](const Lanes& lanes, int i) { f(lanes, i, 0, 1, &sums[i]); });
    std::vector<Sums> shares(static_cast<size_t>(count) * parts);
    each(count * parts, pixels, [&](const Lanes& lanes, int i) { f(lanes, i / parts, i % parts, parts, &shares[i]); });
    for (int i = 0; i < count; ++i) {
      float* to = reinterpret_cast<float*>(sums + i);
      for (size_t k = 0; k < sizeof(Sums) / sizeof(float); ++k) {
        to[k] = 0;
        for (int part = 0; part < parts; ++part)
          to[k] += reinterpret_cast<const float*>(&shares[static_cast<size_t>(i) * parts + part])[k];
      }
    }
  }
  // f(lanes, i, part, parts), which adds a part to the i-th picture, for i from 0 to count - 1, in any order; about so
  // many pixels each.
  template <class F>
  void add_each(int count, size_t pixels, F f) const {
    const int parts = parts_of(pixels);
    each(count * parts, pixels, [&](const Lanes& lanes, int i) { f(lanes, i / parts, i % parts, parts); });
  }

 private:
  static constexpr size_t kSerial = 4096;                            // smaller things are not worth a second thread
  static constexpr size_t kPart = size_t{1} << 15, kMostParts = 32;  // of pixels

  // Rows of so many pixels are looked at in so many parts whoever is there, since sums depend on them.
  static int parts_of(size_t pixels) { return static_cast<int>(std::clamp<size_t>(pixels / kPart, 1, kMostParts)); }

  int threads_;
};

// In which order things are done of which some must wait for others.
class Order {
 public:
  explicit Order(const Precedence& p) : stages_(p.stages) {}

 private:
  friend class Device;
  const std::vector<int>& stages_;
};

class Device {
 public:
  static constexpr bool kManyTeams = false;   // at a time
  static constexpr bool kLooksAhead = false;  // does what may not be wanted rather than wait for the answer
  static constexpr int kFrames = 1;           // of a clip that it works on at the same time

  explicit Device(int threads) : threads_(threads) {}

  int threads() const { return threads_; }
  int most_together() const { return 1; }  // teams that share one thing, in order

  // f(i) for i from 0 to count - 1, in any order.
  template <class F>
  void for_each(int64_t count, F f) const {
    pieces_of(threads_, count, kLeast, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) f(static_cast<int64_t>(i));
    });
  }

  // f(row, x0, x1) for pieces [x0, x1) that together are all columns of all rows.
  template <class F>
  void for_rows(int rows, int width, F f) const {
    pieces_of(threads_, rows, 1 + kLeastPixels / (width + 1), [&](size_t begin, size_t end) {
      for (size_t row = begin; row < end; ++row) f(static_cast<int>(row), 0, width);
    });
  }

  // f(team, i, &notes) for i from 0 to count - 1, in any order, each by a team of its own with room for notes. All
  // threads are one team where there is one thing to do.
  template <class Notes, class F>
  void for_teams(int64_t count, F f) const {
    share_out<Team, Notes>(count, f);
  }

  // f(team, i - first, &notes) for `count` things i from the first on, in their order; what comes before is done.
  template <class Notes, class F>
  void for_teams(const Order& order, int first, int64_t count, F f) const {
    const auto& stages = order.stages_;
    for (size_t s = 0; s + 1 < stages.size(); ++s) {
      if (stages[s] < first || stages[s] >= first + count) continue;
      const int before = stages[s] - first;
      for_teams<Notes>(stages[s + 1] - stages[s],
                       [&](const Team& team, int64_t i, Notes* notes) { f(team, before + i, notes); });
    }
  }

  // f(device, i, &notes) for i from 0 to count - 1, in any order, each with a device of its own: a thread, or all
  // threads where there is one thing to do. It finds in the notes what that device's last left there.
  template <class Notes, class F>
  void for_devices(int64_t count, F f) const {
    share_out<Device, Notes>(count, f);
  }

  // Writes to `index` those i from 0 to count - 1 for which f(i), in order; returns how many. A device that would have
  // to wait for their number takes all, and the index is empty.
  template <class F>
  int select(int count, F f, Array<int>* index) const {
    index->resize(count);
    int found = 0, *to = index->data();
    for (int i = 0; i < count; ++i)
      if (f(i)) to[found++] = i;
    index->resize(found);
    return found;
  }

  // The sum of f(i) for i from 0 to count - 1.
  template <class F>
  void sum(int64_t count, F f, double* to) const {
    std::vector<double> blocks((count + kSumBlock - 1) / kSumBlock, 0.0);
    pieces_of(threads_, blocks.size(), 1, [&](size_t begin, size_t end) {
      for (size_t block = begin; block < end; ++block)
        for (int64_t i = block * kSumBlock, last = std::min<int64_t>(count, i + kSumBlock); i < last; ++i)
          blocks[block] += f(i);
    });
    *to = 0;
    for (double b : blocks) *to += b;
  }

  using Vectors = std::vector<std::pair<const float*, const float*>>;

  // Inner products of pairs of vectors of `count` elements.
  void dots(const Vectors& pairs, size_t count, double* to) const {
    const size_t parts = (count + kChunk - 1) / kChunk;
    std::vector<double> sums(pairs.size() * parts);
    // A few pairs of a part at a time.
    const size_t groups = (pairs.size() + kPairs - 1) / kPairs;
    each_of(groups * count > kLeastProducts ? threads_ : 1, groups * parts, [&](size_t i) {
      const size_t part = i / groups, begin = part * kChunk, size = std::min(kChunk, count - begin);
      for (size_t p = i % groups * kPairs; p < std::min(pairs.size(), (i % groups + 1) * kPairs); ++p)
        sums[p * parts + part] = kernels().dot(pairs[p].first + begin, pairs[p].second + begin, static_cast<int>(size));
    });
    for (size_t p = 0; p < pairs.size(); ++p)
      to[p] = std::accumulate(sums.begin() + p * parts, sums.begin() + (p + 1) * parts, 0.0);
  }

  // out = sum_i factors[i] * vectors[i], none of which is out.
  void combine(const std::vector<const float*>& vectors, const std::vector<float>& factors, size_t count,
               float* out) const {
    chunks(count, [&](size_t begin, size_t end) {
      std::vector<const float*> rows(vectors);
      for (const float*& row : rows) row += begin;
      kernels().sum_rows(rows.data(), factors.data(), static_cast<int>(rows.size()), static_cast<int>(end - begin),
                         out + begin);
      return 0.0;
    });
  }

  // out [F, C, H, W] = base [F, C, H, W] + sum of splats, less what the headroom [F, C, H, W] takes; and the sums [F]
  // of its squares, unless null. No more than kFrames.
  void render(const Splats& splats, Canvas canvas, float cutoff, const float* base, Headroom headroom, float* out,
              double* squares) const {
    const double all = render_residual(splats, canvas, cutoff, base, headroom, out, threads_);
    if (squares) *squares = all;
  }

  // Gradients, in the splats' shapes, of a scalar with cotangent v_out [F, C, H, W].
  void backward(const Splats& splats, Canvas canvas, float cutoff, const float* v_out, float* v_means, float* v_conics,
                float* v_colors) const {
    render_backward(splats, canvas, cutoff, v_out, v_means, v_conics, v_colors, threads_);
  }

 private:
  // What a thread takes at least of a loop; shorter ones are not worth a second.
  static constexpr size_t kLeast = 1024, kLeastPixels = 8192, kLeastProducts = 32768;
  static constexpr size_t kPairs = 8;         // of vectors that a thread multiplies at a time
  static constexpr int64_t kSumBlock = 1024;  // fixed partitions of sums
  static constexpr size_t kChunk = size_t{1} << 14;

  template <class Worker, class Notes, class F>
  void share_out(int64_t count, F f) const {
    const Worker worker(count > 1 ? 1 : threads_);
    together(count > 1 ? threads_ : 1, count, [&](Share* share) {
      Notes notes;
      for (size_t i; share->take(&i);) f(worker, static_cast<int64_t>(i), &notes);
    });
  }

  // The sum of f(begin, end) over a fixed partition.
  template <class F>
  double chunks(size_t count, F f) const {
    std::vector<double> parts((count + kChunk - 1) / kChunk);
    each_of(parts.size() > 3 ? threads_ : 1, parts.size(),
            [&](size_t i) { parts[i] = f(i * kChunk, std::min((i + 1) * kChunk, count)); });
    double total = 0;
    for (double p : parts) total += p;
    return total;
  }

  int threads_;
};

// What several loops over pixels find, in order.
template <class T>
class Finds {
 public:
  explicit Finds(const Device& device) : device_(device) {}

  // Those that f(row, x, &item) finds, for all columns of all rows.
  template <class F>
  void look(int rows, int width, F f) {
    std::vector<std::vector<T>> found(rows);
    device_.for_rows(rows, width, [&](int row, int x0, int x1) {
      for (int x = x0; x < x1; ++x) {
        T item;
        if (f(row, x, &item)) found[row].push_back(item);
      }
    });
    for (const auto& row : found) items_.insert(items_.end(), row.begin(), row.end());
  }

  // All of them; false when there was no room for all, and the loops are to look again.
  bool take(std::vector<T>* items) {
    items->swap(items_);
    return true;
  }

 private:
  Device device_;
  std::vector<T> items_;
};

// Before the parameters of a lambda that the device runs.
#define SPLAT2D_LOOP
#define SPLAT2D_LONG

// What loops over rows are made of, by the instruction set of this machine.
inline void add_scaled(float* a, const float* b, float factor, int count) { kernels().add_scaled(a, b, factor, count); }

// out[x] = the sum of weights[i] p[i * stride + x].
inline void weigh_rows(const float* p, size_t stride, const float* weights, int rows, int count, float* out) {
  kernels().weigh_rows(p, stride, weights, rows, count, out);
}

// out[x] = a[x] b[x]; out may be a or b.
inline void multiply_row(const float* a, const float* b, int count, float* out) {
  kernels().multiply(a, b, count, out);
}

// out[x0 .. x1) of a row of half the width: under (outer, inner, inner, outer) of the sum of factors[i] rows[i], four
// rows of a width; beyond the border stands the border's pixel.
inline void halve_row(const float* const* rows, const float* factors, int width, float outer, float inner, int x0,
                      int x1, float* out) {
  thread_local std::vector<float> line;
  line.resize(std::max<size_t>(line.size(), width + 16));
  float* p = line.data();
  kernels().sum_rows(rows, factors, 4, width, p);
  const auto near_border = [&](int x) {
    const auto at = [&](int column) { return p[std::clamp(column, 0, width - 1)]; };
    out[x] = outer * (at(2 * x - 1) + at(2 * x + 2)) + inner * (at(2 * x) + at(2 * x + 1));
  };
  const int first = std::min(std::max(x0, 1), x1), last = std::max(std::min(x1, width / 2 - 1), first);
  for (int x = x0; x < first; ++x) near_border(x);
  kernels().halve_row(p + 2 * first, outer, inner, last - first, out + first);
  for (int x = last; x < x1; ++x) near_border(x);
}

// out += the transpose along a row: of rows of half the width, to all of a row of `to_width`.
inline void double_row(const float* const* rows, const float* factors, int count, int width, float outer, float inner,
                       int to_width, int, int, float* out) {
  thread_local std::vector<float> line;
  line.resize(std::max<size_t>(line.size(), width + 16));
  float* p = line.data();
  kernels().sum_rows(rows, factors, count, width, p);
  const auto near_border = [&](int x) {
    for (int X = std::max((x - 2) >> 1, 0); X < width && X <= (x + 1) >> 1; ++X)
      for (int i = 0; i < 4; ++i)
        if (std::clamp(2 * X + i - 1, 0, to_width - 1) == x) out[x] += (i == 0 || i == 3 ? outer : inner) * p[X];
  };
  const int last = std::max((to_width - 1) / 2, 1);
  for (int x = 0; x < std::min(2, to_width); ++x) near_border(x);
  kernels().double_row(p + 1, outer, inner, last - 1, out + 2);
  for (int x = 2 * last; x < to_width; ++x) near_border(x);
}

// Clears out where signs are not 0 and the error is.
inline void clear_saturated(const int8_t* signs, const float* error, int count, float* out) {
  kernels().clear_saturated(signs, error, count, out);
}

inline double dot_row(const float* a, const float* b, int count) { return kernels().dot(a, b, count); }

// out[x] = the sum of weights[i] p[x + i] for i from -radius to radius, as far as p [width] goes.
inline void weigh_columns(const float* p, int width, const float* weights, int radius, int x0, int x1, float* out) {
  const auto near_border = [&](int x) {
    out[x] = 0;
    for (int i = std::max(-radius, -x); i <= std::min(radius, width - 1 - x); ++i) out[x] += weights[i] * p[x + i];
  };
  const int first = std::min(std::max(x0, radius), x1), last = std::max(std::min(x1, width - radius), first);
  for (int x = x0; x < first; ++x) near_border(x);
  weigh_rows(p + first - radius, 1, weights - radius, 2 * radius + 1, last - first, out + first);
  for (int x = last; x < x1; ++x) near_border(x);
}

// out[x] = base[x] + sum_i factors[i] rows[i], enlarged, for rows of a coarser level of a Pyramid; base may be null.
inline void enlarge_row(const float* const* rows, const float* factors, int coarse_width, const float* base, int width,
                        int, int, float* out) {
  thread_local std::vector<float> line, zeros;
  line.resize(std::max<size_t>(line.size(), coarse_width + 16));
  zeros.resize(std::max<size_t>(zeros.size(), width + 16));
  kernels().sum_rows(rows, factors, 4, coarse_width, line.data());
  kernels().widen_row(line.data(), base ? base : zeros.data(), width, out);
}

// Its transpose: a row of the coarser level, out of `count` rows.
inline void shrink_row(const float* const* rows, const float* factors, int count, int width, int, int, float* out) {
  thread_local std::vector<float> line, scratch;
  line.resize(std::max<size_t>(line.size(), width + 16));
  scratch.resize(std::max<size_t>(scratch.size(), width + 40));
  kernels().sum_rows(rows, factors, count, width, line.data());
  kernels().narrow_row(line.data(), width, scratch.data(), out);
}

inline void energy_row(const float* picture, size_t plane, int channels, float factor, int width, float* out) {
  kernels().energy_row(picture, plane, channels, factor, width, out);
}

}  // namespace splat2d
