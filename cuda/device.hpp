// Arrays, loops and sums on a GPU: cpp/device/cpu.hpp's interface. All work is queued on the default stream; what
// copies to this machine waits for it. Sums have a fixed order, so the same input gives the same bits.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "device/precedence.hpp"
#include "math/kernels.hpp"
#include "raster.hpp"
#include "rows.hpp"
#include "team.hpp"

// Before the parameters of a lambda that the device runs.
#define SPLAT2D_LOOP __device__
// Before functions so long that copies of them wherever they are called would wait for their instructions.
#ifdef SPLAT2D_EMULATED
#define SPLAT2D_LONG
#else
#define SPLAT2D_LONG __device__ __noinline__
#endif

namespace splat2d {

// Memory of the device.
template <class T>
class Array {
 public:
  Array() = default;
  explicit Array(size_t size) { resize(size); }
  explicit Array(const std::vector<T>& values) { append(values); }
  Array(Array&& other) noexcept { swap(other); }
  Array& operator=(Array&& other) noexcept {
    Array old;
    old.swap(*this);
    swap(other);
    return *this;
  }
  ~Array() {
    if (data_) cudaFreeAsync(data_, nullptr);
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // What is there stays; new elements are zero.
  void resize(size_t size) {
    const size_t before = size_;
    reserve(size);
    size_ = size;
    if (size > before)
      gpu::check(cudaMemsetAsync(data_ + before, 0, (size - before) * sizeof(T), nullptr), "clearing memory");
  }
  void append(const std::vector<T>& more) {
    if (more.empty()) return;
    reserve(size_ + more.size());
    gpu::check(cudaMemcpy(data_ + size_, more.data(), more.size() * sizeof(T), cudaMemcpyHostToDevice),
               "copying to the GPU");
    size_ += more.size();
  }
  // Over the elements from `at` on.
  void put(size_t at, const std::vector<T>& values) {
    gpu::check(cudaMemcpy(data_ + at, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice),
               "copying to the GPU");
  }
  // Elements that are yet to be written.
  static Array unset(size_t size) {
    Array out;
    out.reserve(size);
    out.size_ = size;
    return out;
  }
  Array copy() const {
    Array out = unset(size_);
    if (size_) move_to(out.data_);
    return out;
  }
  std::vector<T> host() const { return host(size_); }
  // The first `size` elements.
  std::vector<T> host(size_t size) const {
    std::vector<T> out(size);
    if (size)
      gpu::check(cudaMemcpy(out.data(), data_, size * sizeof(T), cudaMemcpyDeviceToHost), "copying from the GPU");
    return out;
  }

 private:
  void swap(Array& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }
  void move_to(T* to) const {
    gpu::check(cudaMemcpyAsync(to, data_, size_ * sizeof(T), cudaMemcpyDeviceToDevice, nullptr), "copying on the GPU");
  }
  void reserve(size_t capacity) {
    if (capacity <= capacity_) return;
    void* memory = nullptr;
    gpu::check(cudaMallocAsync(&memory, capacity * sizeof(T), nullptr), "allocating memory of the GPU");
    if (size_) move_to(static_cast<T*>(memory));
    if (data_) cudaFreeAsync(data_, nullptr);
    data_ = static_cast<T*>(memory);
    capacity_ = capacity;
  }

  T* data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
};

// Results of sums, which may be read once they have been fetched.
class Numbers {
 public:
  explicit Numbers(size_t size) : there_(size), here_(size), size_(size) {}

  double* at(size_t i) { return there_.data() + i; }
  // Waits for all that has been queued.
  void fetch() {
    gpu::check(cudaMemcpyAsync(here_.data(), there_.data(), size_ * sizeof(double), cudaMemcpyDeviceToHost, nullptr),
               "copying from the GPU");
    gpu::check(cudaStreamSynchronize(nullptr), "working");
  }
  double operator[](size_t i) const { return here_.data()[i]; }
  const double* data() const { return here_.data(); }

 private:
  Array<double> there_;
  gpu::Pinned<double> here_;
  size_t size_;
};

namespace gpu {

#ifdef SPLAT2D_EMULATED
constexpr int kLoopThreads = 64;  // fibers take their time
#else
constexpr int kLoopThreads = 256;
#endif
constexpr int kMostEach = 16;     // elements of a sum that a thread adds up
constexpr int kBusy = 1 << 9;     // blocks that keep a device busy
constexpr int kMostRows = 65535;  // of a grid
constexpr int kMostTerms = 120;   // of a launch, so that its parameters fit

template <class F>
__global__ void run_each(int64_t count, const __grid_constant__ F f) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) f(i);
}

template <class F>
__global__ void run_rows(int rows, int width, const __grid_constant__ F f) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= width) return;
  for (int row = blockIdx.y; row < rows; row += gridDim.y) f(row, x, x + 1);
}

// to[y] = the sum of f(y, i).
template <class F>
__global__ void __launch_bounds__(kLoopThreads)
    sum_chunks(int64_t count, int size, F f, double* parts, unsigned* arrived, double* to) {
  const int chunk = blockIdx.x, chunks = gridDim.x, row = blockIdx.y;
  const int64_t begin = static_cast<int64_t>(chunk) * size;
  const int64_t end = begin + size < count ? begin + size : count;
  double sum = 0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kLoopThreads) sum += f(row, i);
  add_up<kLoopThreads>(sum, chunk, chunks, parts + static_cast<int64_t>(row) * chunks, arrived + row, to + row);
}

template <class F>
struct OneSum {
  F f;
  __device__ double operator()(int, int64_t i) const { return f(i); }
};

struct Products {
  const float *a[kMostTerms], *b[kMostTerms];
  __device__ double operator()(int pair, int64_t i) const { return static_cast<double>(a[pair][i]) * b[pair][i]; }
};

struct Terms {
  const float* vectors[kMostTerms];
  float factors[kMostTerms];
  int count;
  bool add;
  float* out;
  __device__ void operator()(int64_t i) const {
    float sum = add ? out[i] : 0.0f;
    for (int t = 0; t < count; ++t) sum += factors[t] * vectors[t][i];
    out[i] = sum;
  }
};

template <class T>
struct Found {
  int64_t place;
  T item;
};

template <class T, class F>
__global__ void find_items(int rows, int width, F f, int64_t first, Found<T>* out, int capacity, int* count) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x;
  if (x >= width) return;
  for (int row = blockIdx.y; row < rows; row += gridDim.y) {
    T item;
    if (!f(row, x, &item)) continue;
    const int at = atomicAdd(count, 1);
    if (at < capacity) out[at] = {first + static_cast<int64_t>(row) * width + x, item};
  }
}

inline dim3 grid_of(int rows, int width) { return dim3(parts(width, kLoopThreads), std::clamp(rows, 1, kMostRows)); }

// Keeps freed memory for the next array as long as a fit lives.
class Pool {
 public:
  Pool() {
    int device = 0;
    check(cudaGetDevice(&device), "choosing a GPU");
    check(cudaDeviceGetDefaultMemPool(&pool_, device), "allocating memory of the GPU");
    uint64_t all = UINT64_MAX;
    check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &all), "allocating memory of the GPU");
  }
  Pool(const Pool&) = delete;
  ~Pool() {
    cudaDeviceSynchronize();
    cudaMemPoolTrimTo(pool_, 0);
  }

 private:
  cudaMemPool_t pool_;
};

}  // namespace gpu

// A Precedence's things, and what is done of them so far.
class Order {
 public:
  explicit Order(const Precedence& p)
      : awaited_(p.awaited), waits_(p.waits), done_(p.workers.size()), met_(done_.size()) {
    std::vector<int> things, rooms;
    for (const int workers : p.workers) {
      rooms.push_back(shared_ % Precedence::kMostShared);
      shared_ += workers > 1;
      most_ = std::max(most_, workers);
      things.insert(things.end(), workers, static_cast<int>(blocks_.size()) - 1);
      blocks_.push_back(static_cast<int>(things.size()));
    }
    blocks_there_.append(blocks_);
    things_.append(things);
    rooms_.append(rooms);
  }

 private:
  friend class Device;
  std::vector<int> blocks_{0};  // where each thing's begin, and the end
  int shared_ = 0, most_ = 1;   // things that several blocks share, and how many at most
  Array<int> awaited_, waits_, things_, rooms_, blocks_there_;
  mutable Array<int> done_, met_;
};

class Device {
 public:
  static constexpr bool kManyTeams = true;   // at a time
  static constexpr int kMostTogether = 64;   // blocks; not more, so that most GPUs come to the same sums
  static constexpr bool kLooksAhead = true;  // does what may not be wanted rather than wait for the answer
#ifdef SPLAT2D_EMULATED
  static constexpr int kFrames = 3;
#else
  static constexpr int kFrames = 64;  // of a clip that it works on at the same time
#endif

  explicit Device(int = 1)
      : pool_(std::make_shared<gpu::Pool>()),
        raster_(std::make_shared<gpu::Rasterizer>(nullptr)),
        scratch_(std::make_shared<gpu::Scratch>()),
        room_(std::make_shared<gpu::Buffer<float>>()) {}

  // Teams that share one thing, in order.
  int most_together() const { return std::min(kMostTogether, gpu::multiprocessors()); }

  // f(i) for i from 0 to count - 1, in any order.
  template <class F>
  void for_each(int64_t count, F f) const {
    if (count)
      gpu::launch_loop(gpu::run_each<F>, gpu::parts(count, gpu::kLoopThreads), gpu::kLoopThreads, nullptr, count, f);
  }

  // f(row, x0, x1) for pieces [x0, x1) that together are all columns of all rows.
  template <class F>
  void for_rows(int rows, int width, F f) const {
    if (rows == 0 || width == 0) return;
    gpu::launch_loop(gpu::run_rows<F>, gpu::grid_of(rows, width), gpu::kLoopThreads, nullptr, rows, width, f);
  }

  // f(team, i, &notes) for i from 0 to count - 1, in any order, each by a team of its own with room for notes.
  template <class Notes, class F>
  void for_teams(int64_t count, F f) const {
    if (count) gpu::launch(gpu::run_team<Notes, F>, static_cast<unsigned>(count), Team::kThreads, nullptr, f);
  }

  // f(team, i - first, &notes) for `count` things i from the first on, in their order; what comes before is done.
  template <class Notes, class F>
  void for_teams(const Order& order, int first, int64_t count, F f) const {
    if (!count) return;
    const int from = order.blocks_[first], blocks = order.blocks_[first + count] - from;
    const gpu::Links links{first,
                           from,
                           order.awaited_.data(),
                           order.waits_.data(),
                           order.blocks_there_.data(),
                           order.things_.data(),
                           order.rooms_.data(),
                           order.done_.data(),
                           order.met_.data()};
    const size_t notes = (sizeof(Notes) + 15) / 16 * 4, room = notes + Team::kRoom / sizeof(float) * order.most_;
    const size_t rooms = std::min(order.shared_, Precedence::kMostShared);
    Array<int> next(1);
    gpu::launch(gpu::run_teams_in_order<Notes, F>, static_cast<unsigned>(blocks), Team::kThreads, nullptr, f, links,
                gpu::Rooms{room_->reserve(rooms * room), notes, room}, next.data());
  }

  // f(device, i, &notes) for i from 0 to count - 1, one after another.
  template <class Notes, class F>
  void for_devices(int64_t count, F f) const {
    Notes notes;
    for (int64_t i = 0; i < count; ++i) f(*this, i, &notes);
  }

  // All of `count` things, and an empty index: how many f(i) holds for would have to be waited for.
  template <class F>
  int select(int count, F, Array<int>* index) const {
    index->resize(0);
    return count;
  }

  // The sum of f(i) for i from 0 to count - 1.
  template <class F>
  void sum(int64_t count, F f, double* to) const {
    sums(1, count, gpu::OneSum<F>{f}, to);
  }

  using Vectors = std::vector<std::pair<const float*, const float*>>;

  // Inner products of pairs of vectors of `count` elements.
  void dots(const Vectors& pairs, size_t count, double* to) const {
    for (size_t first = 0; first < pairs.size(); first += gpu::kMostTerms) {
      gpu::Products products{};
      const int some = static_cast<int>(std::min<size_t>(gpu::kMostTerms, pairs.size() - first));
      for (int i = 0; i < some; ++i) std::tie(products.a[i], products.b[i]) = pairs[first + i];
      sums(some, static_cast<int64_t>(count), products, to + first);
    }
  }

  // out = sum_i factors[i] * vectors[i], none of which is out.
  void combine(const std::vector<const float*>& vectors, const std::vector<float>& factors, size_t count,
               float* out) const {
    for (size_t first = 0; first < vectors.size(); first += gpu::kMostTerms) {
      gpu::Terms terms{};
      terms.count = static_cast<int>(std::min<size_t>(gpu::kMostTerms, vectors.size() - first));
      std::copy_n(vectors.begin() + static_cast<std::ptrdiff_t>(first), terms.count, terms.vectors);
      std::copy_n(factors.begin() + static_cast<std::ptrdiff_t>(first), terms.count, terms.factors);
      terms.add = first > 0;
      terms.out = out;
      for_each(static_cast<int64_t>(count), terms);
    }
  }

  // out [F, C, H, W] = base [F, C, H, W] + sum of splats, less what the headroom [F, C, H, W] takes; and the sums [F]
  // of its squares, unless null.
  void render(const Splats& s, Canvas canvas, float cutoff, const float* base, Headroom headroom, float* out,
              double* squares) const {
    raster_->forward(frame(s), canvas, cutoff, {base, false, headroom, out, squares});
  }

  // Gradients, in the splats' shapes, of a scalar with cotangent v_out [F, C, H, W].
  void backward(const Splats& s, Canvas canvas, float cutoff, const float* v_out, float* v_means, float* v_conics,
                float* v_colors) const {
    raster_->backward(frame(s), canvas, cutoff, v_out, v_means, v_conics, v_colors);
  }

 private:
  static gpu::Frames frame(const Splats& s) {
    return {s.frames, s.count, s.channels, s.means, s.conics, s.colors, s.cutoffs};
  }

  // Of f(y, i) for i from 0 to count - 1, for each y.
  template <class F>
  void sums(int rows, int64_t count, F f, double* to) const {
    if (!rows) return;
    // Of a size that follows from the numbers of elements and sums alone, since it sets the order.
    const int64_t each = std::clamp<int64_t>(count * rows / (gpu::kBusy * gpu::kLoopThreads), 1, gpu::kMostEach);
    const int size = static_cast<int>(each) * gpu::kLoopThreads, chunks = std::max(1, gpu::parts(count, size));
    scratch_->reserve(rows, chunks, nullptr);
    gpu::launch(gpu::sum_chunks<F>, dim3(chunks, rows), gpu::kLoopThreads, nullptr, count, size, f,
                scratch_->parts.data(), scratch_->arrived.data(), to);
  }

  std::shared_ptr<gpu::Pool> pool_;
  std::shared_ptr<gpu::Rasterizer> raster_;
  std::shared_ptr<gpu::Scratch> scratch_;
  std::shared_ptr<gpu::Buffer<float>> room_;  // of teams of several blocks
};

// What several loops over pixels find, in order.
template <class T>
class Finds {
 public:
  explicit Finds(const Device&) : found_(Array<gpu::Found<T>>::unset(1 << 16)), count_(1) {}

  // Those that f(row, x, &item) finds, for all columns of all rows.
  template <class F>
  void look(int rows, int width, F f) {
    if (rows == 0 || width == 0) return;
    gpu::launch_loop(gpu::find_items<T, F>, gpu::grid_of(rows, width), gpu::kLoopThreads, nullptr, rows, width, f,
                     next_, found_.data(), static_cast<int>(found_.size()), count_.data());
    next_ += static_cast<int64_t>(rows) * width;
  }

  // All of them; false when there was no room for all, and the loops are to look again.
  bool take(std::vector<T>* items) {
    const size_t count = count_.host()[0];
    if (count > found_.size()) {
      found_ = Array<gpu::Found<T>>::unset(count);
      count_ = Array<int>(1);
      next_ = 0;
      return false;
    }
    std::vector<gpu::Found<T>> found = found_.host(count);
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.place < b.place; });
    items->clear();
    for (const auto& item : found) items->push_back(item.item);
    return true;
  }

 private:
  Array<gpu::Found<T>> found_;
  Array<int> count_;
  int64_t next_ = 0;  // place of the next loop's first pixel
};

}  // namespace splat2d
