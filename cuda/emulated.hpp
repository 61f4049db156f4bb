// The part of CUDA that the kernels use, on one thread of the CPU: the threads of a block are fibers that take turns
// at every barrier and warp operation. Slow and exact; lets the kernels' own source be tested without a GPU.
#pragma once

#include <malloc.h>
#include <setjmp.h>
#include <ucontext.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <vector>

#define __global__
#define __host__
#define __device__
#define __shared__ static
#define __restrict__ __restrict
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2, cudaErrorNoDevice = 100 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
using cudaMemPool_t = void*;
enum cudaMemPoolAttr { cudaMemPoolAttrReleaseThreshold };

namespace splat2d::gpu::emulated {

constexpr int kWarp = 32;
// Beyond it allocation fails as on a full device.
constexpr size_t kMemory = size_t{1} << 27;
inline size_t memory_used = 0;

// Where threads wait for one another.
struct Meeting {
  int expected = 0, arrived = 0;
  unsigned round = 0;
  // Those who are here, once all are.
  void go_on_if_complete() {
    if (arrived < expected) return;
    arrived = 0;
    ++round;
  }
};

class Block {
 public:
  // Runs body for threads 0 .. count - 1, each in a fiber of its own.
  void run(int count, const std::function<void()>& body) {
    body_ = &body;
    fibers_.resize(count);
    for (auto& words : words_) words.assign(count, 0);
    all_ = {count};
    warps_.assign((count + kWarp - 1) / kWarp, {kWarp});
    if (count % kWarp) warps_.back().expected = count % kWarp;
    for (int i = 0; i < count; ++i) {
      Fiber& f = fibers_[i];
      if (!f.stack) f.stack.reset(new char[kStack]);
      f.done = f.started = false;
      f.waits = nullptr;
      getcontext(&f.context);
      f.context.uc_stack.ss_sp = f.stack.get();
      f.context.uc_stack.ss_size = kStack;
      f.context.uc_link = nullptr;
      makecontext(&f.context, &Block::enter, 0);
    }
    for (bool running = true; running;) {
      running = false;
      for (int i = 0; i < count; ++i) {
        const Fiber& f = fibers_[i];
        if (f.done) continue;
        running = true;
        if (!f.waits || f.waits->round != f.round) give_turn(i);
      }
    }
  }
  void run_alone(int count, const std::function<void()>& body) {
    for (current_ = 0; current_ < count; ++current_) body();
  }
  int thread() const { return current_; }
  int size() const { return static_cast<int>(fibers_.size()); }
  // All threads that still run come here before any goes on.
  void barrier() { meet(&all_); }
  // Publishes a word; returns those of all threads once those of the same warp are there.
  const std::vector<uint32_t>& exchange(uint32_t word) {
    Meeting& warp = warps_[current_ / kWarp];
    // Two in turn, so that who goes on first leaves what the others have yet to read.
    std::vector<uint32_t>& words = words_[warp.round % 2];
    words[current_] = word;
    meet(&warp);
    return words;
  }

  static Block& active() {
    static Block block;
    return block;
  }

 private:
  static constexpr size_t kStack = 64 << 10;
  struct Fiber {
    ucontext_t context;  // where it starts
    jmp_buf place;       // where it waits; jumps are quicker than contexts, which ask the kernel for signal masks
    std::unique_ptr<char[]> stack;
    bool started, done;
    const Meeting* waits;
    unsigned round;  // of the meeting, when it began to wait
  };
  void meet(Meeting* meeting) {
    Fiber& f = fibers_[current_];
    f.waits = meeting;
    f.round = meeting->round;
    ++meeting->arrived;
    meeting->go_on_if_complete();
    if (meeting->round == f.round && _setjmp(f.place) == 0) _longjmp(main_, 1);
  }
  // Lets a fiber run up to its next barrier or its end. Not inlined: jumps return into this frame.
  __attribute__((noinline)) void give_turn(int fiber) {
    current_ = fiber;
    if (_setjmp(main_) == 0) resume(&fibers_[fiber]);
  }
  static void resume(Fiber* f) {
    if (f->started) _longjmp(f->place, 1);
    f->started = true;
    setcontext(&f->context);
  }
  static void enter() {
    Block& block = active();
    (*block.body_)();
    block.fibers_[block.current_].done = true;
    for (Meeting* m : {&block.all_, &block.warps_[block.current_ / kWarp]}) {
      --m->expected;
      m->go_on_if_complete();
    }
    _longjmp(block.main_, 1);
  }

  jmp_buf main_;
  std::vector<Fiber> fibers_;
  std::vector<uint32_t> words_[2];
  Meeting all_;
  std::vector<Meeting> warps_;
  const std::function<void()>* body_ = nullptr;
  int current_ = 0;
};

struct ThreadIndex {
  struct Coordinate {
    operator unsigned() const { return static_cast<unsigned>(Block::active().thread()); }
  } x;
};

inline dim3 block_index, grid_size, block_size;
inline const ThreadIndex thread_index;

}  // namespace splat2d::gpu::emulated

#define threadIdx splat2d::gpu::emulated::thread_index
#define blockIdx splat2d::gpu::emulated::block_index
#define blockDim splat2d::gpu::emulated::block_size
#define gridDim splat2d::gpu::emulated::grid_size

inline void __syncthreads() { splat2d::gpu::emulated::Block::active().barrier(); }

#define __grid_constant__

inline void __syncwarp() { splat2d::gpu::emulated::Block::active().exchange(0); }

inline unsigned __ballot_sync(unsigned, bool predicate) {
  using namespace splat2d::gpu::emulated;
  const auto& words = Block::active().exchange(predicate);
  const int first = Block::active().thread() / kWarp * kWarp;
  unsigned mask = 0;
  for (int l = 0; l < kWarp && first + l < Block::active().size(); ++l) mask |= words[first + l] << l;
  return mask;
}

namespace splat2d::gpu::emulated {

// What thread `from` of the block publishes, or the own value where there is no such thread in the warp.
template <class T>
T shuffle(T value, unsigned from) {
  static_assert(sizeof(T) % 4 == 0);
  uint32_t own[sizeof(T) / 4];
  std::memcpy(own, &value, sizeof(T));
  for (uint32_t& word : own) {
    const auto& words = Block::active().exchange(word);
    const bool there = from / kWarp == Block::active().thread() / unsigned{kWarp} && from < words.size();
    if (there) word = words[from];
  }
  std::memcpy(&value, own, sizeof(T));
  return value;
}

// The least, or with `sign` -1 the largest, of what a warp's lanes publish.
inline int reduce(int value, int sign) {
  const auto& words = Block::active().exchange(static_cast<uint32_t>(value));
  const int first = Block::active().thread() / kWarp * kWarp;
  for (int l = first; l < first + kWarp && l < Block::active().size(); ++l)
    if (sign * static_cast<int>(words[l]) < sign * value) value = static_cast<int>(words[l]);
  return value;
}

}  // namespace splat2d::gpu::emulated

template <class T>
T __shfl_down_sync(unsigned, T value, unsigned delta) {
  using namespace splat2d::gpu::emulated;
  return shuffle(value, Block::active().thread() + delta);
}

template <class T>
T __shfl_up_sync(unsigned, T value, unsigned delta) {
  using namespace splat2d::gpu::emulated;
  return shuffle(value, Block::active().thread() - delta);
}

template <class T>
T __shfl_xor_sync(unsigned, T value, unsigned mask) {
  using namespace splat2d::gpu::emulated;
  return shuffle(value, Block::active().thread() ^ mask);
}

template <class T>
T __shfl_sync(unsigned, T value, unsigned lane) {
  using namespace splat2d::gpu::emulated;
  return shuffle(value, Block::active().thread() / kWarp * kWarp + lane);
}

inline int __reduce_min_sync(unsigned, int value) { return splat2d::gpu::emulated::reduce(value, 1); }
inline int __reduce_max_sync(unsigned, int value) { return splat2d::gpu::emulated::reduce(value, -1); }

// One thread runs at a time.
template <class T>
T atomicAdd(T* address, T value) {
  const T before = *address;
  *address += value;
  return before;
}
inline void __threadfence() {}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
template <class T>
T __ldg(const T* address) {
  return *address;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float __expf(float x) { return std::exp(x); }

inline cudaError_t cudaMalloc(void** memory, size_t size) {
  using namespace splat2d::gpu::emulated;
  if (size > kMemory - memory_used) return cudaErrorMemoryAllocation;
  *memory = std::malloc(size ? size : 1);
  if (!*memory) return cudaErrorMemoryAllocation;
  memory_used += malloc_usable_size(*memory);
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* memory) {
  splat2d::gpu::emulated::memory_used -= malloc_usable_size(memory);
  std::free(memory);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, size);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy(void* to, const void* from, size_t size, cudaMemcpyKind kind) {
  return cudaMemcpyAsync(to, from, size, kind, nullptr);
}
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t size, cudaStream_t) {
  std::memset(to, value, size);
  return cudaSuccess;
}
inline cudaError_t cudaMallocHost(void** memory, size_t size) {
  *memory = std::malloc(size);
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
inline cudaError_t cudaMallocAsync(void** memory, size_t size, cudaStream_t) { return cudaMalloc(memory, size); }
inline cudaError_t cudaFreeAsync(void* memory, cudaStream_t) { return cudaFree(memory); }
inline cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) {
  *pool = nullptr;
  return cudaSuccess;
}
inline cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
inline cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
inline cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
inline const char* cudaGetErrorString(cudaError_t status) {
  return status == cudaErrorMemoryAllocation ? "out of memory" : "no device";
}

namespace splat2d::gpu {

// For tests: the blocks of a launch run from the last to the first, which must change nothing.
extern "C" {
__attribute__((visibility("default"))) inline bool splat2d_emulated_backwards = false;
}

namespace emulated {

inline void for_blocks(dim3 grid, int threads, const std::function<void()>& run) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) throw std::runtime_error("starting a kernel: invalid argument");
  grid_size = grid;
  block_size = dim3(threads);
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        block_index = splat2d_emulated_backwards ? dim3(grid.x - 1 - x, grid.y - 1 - y, grid.z - 1 - z) : dim3(x, y, z);
        run();
      }
}

}  // namespace emulated

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, int threads, cudaStream_t, Arguments... arguments) {
  emulated::for_blocks(grid, threads, [&] {
    emulated::Block::active().run(threads, [&] { kernel(static_cast<Parameters>(arguments)...); });
  });
}

// Blocks take turns, so that one must do.
inline int multiprocessors() { return 1; }
inline void meet_blocks(int*, int) { __syncthreads(); }
inline void tell(int* count) { ++*count; }
inline void wait_for(const int* count, int least) {
  if (*count < least) throw std::logic_error("a block waits for a later one");
}

// For kernels whose threads neither wait for nor hear from each other: one after another, without fibers.
template <class... Parameters, class... Arguments>
void launch_loop(void (*kernel)(Parameters...), dim3 grid, int threads, cudaStream_t, Arguments... arguments) {
  emulated::for_blocks(grid, threads, [&] {
    emulated::Block::active().run_alone(threads, [&] { kernel(static_cast<Parameters>(arguments)...); });
  });
}

}  // namespace splat2d::gpu
