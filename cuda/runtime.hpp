// CUDA's runtime, or what of it the kernels use on the CPU (emulated.hpp, for tests where there is no GPU).
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

#ifdef SPLAT2D_EMULATED
#include "emulated.hpp"
#else
#include <cuda_runtime.h>
#endif

namespace splat2d::gpu {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// 2^x, as exact as the hardware's instruction (2 units in the last place).
__device__ inline float power_of_two(float x) {
#ifdef SPLAT2D_EMULATED
  return std::exp2(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

// a / b, as exact as the hardware's instructions (2 units in the last place), for b up to 2^126.
__device__ inline float quotient(float a, float b) {
#ifdef SPLAT2D_EMULATED
  return a / b;
#else
  return __fdividef(a, b);
#endif
}

// A call of CUDA's that failed; says which and why. Memory that does not suffice is OutOfMemory.
struct CudaError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct OutOfMemory : CudaError {
  using CudaError::CudaError;
};

inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // so that the next call does not find this fault again
  const std::string message = std::string(what) + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) throw OutOfMemory(message);
  throw CudaError(message);
}

#ifndef SPLAT2D_EMULATED
// What was written before by the threads that this one has met, those see who wait for the count.
__device__ inline void tell(int* count) {
  __threadfence();
  atomicAdd(count, 1);
}
__device__ inline void wait_for(const int* count, int least) {
  while (*static_cast<const volatile int*>(count) < least) {
  }
  __threadfence();
}
// Waits for all of so many blocks, which are at work at the same time; met: how many have come to all meetings so far.
__device__ inline void meet_blocks(int* met, int blocks) {
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    const int before = atomicAdd(met, 1);
    wait_for(met, before - before % blocks + blocks);
  }
  __syncthreads();
}

inline int multiprocessors() {
  int device = 0, count = 0;
  check(cudaGetDevice(&device), "choosing a GPU");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "looking at the GPU");
  return count;
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, int threads, cudaStream_t stream, Arguments... arguments) {
  kernel<<<grid, threads, 0, stream>>>(static_cast<Parameters>(arguments)...);
  check(cudaGetLastError(), "starting a kernel");
}

// The same for kernels whose threads neither wait for nor hear from each other.
template <class... Parameters, class... Arguments>
void launch_loop(void (*kernel)(Parameters...), dim3 grid, int threads, cudaStream_t stream, Arguments... arguments) {
  launch(kernel, grid, threads, stream, arguments...);
}
#endif

// Memory of the device that only grows.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { cudaFree(data_); }

  // At least `count` elements; what was there is lost when it has to grow.
  T* reserve(size_t count) {
    if (count > capacity_) {
      cudaFree(data_);
      data_ = nullptr;
      capacity_ = 0;
      void* memory = nullptr;
      check(cudaMalloc(&memory, count * sizeof(T)), "allocating memory of the GPU");
      data_ = static_cast<T*>(memory);
      capacity_ = count;
    }
    return data_;
  }
  T* data() const { return data_; }
  size_t capacity() const { return capacity_; }

 private:
  T* data_ = nullptr;
  size_t capacity_ = 0;
};

// Numbers of this machine's memory that the device writes to without a detour; zero at first.
template <class T>
class Pinned {
 public:
  explicit Pinned(size_t count = 1) {
    void* memory = nullptr;
    check(cudaMallocHost(&memory, count * sizeof(T)), "allocating memory that the GPU reaches");
    data_ = static_cast<T*>(memory);
    for (size_t i = 0; i < count; ++i) data_[i] = T();
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { cudaFreeHost(data_); }

  T* data() { return data_; }
  const T* data() const { return data_; }

 private:
  T* data_;
};

}  // namespace splat2d::gpu
