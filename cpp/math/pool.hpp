// Threads that share out a loop: whoever is free takes the next piece, and nobody waits for a thread that has not come.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace splat2d {

// How many threads a call that asks for so many gets: at least one, at most what the system has room for, and one in
// a process that was forked, where all threads but one are gone. No result depends on it.
int granted_threads(int asked);

// From now on forks are noticed.
void watch_forks();

// What is left of a loop, for one of the threads that work on it.
class Share {
 public:
  Share(std::atomic<size_t>* next, size_t count, bool caller) : next_(next), count_(count), caller_(caller) {}

  // Takes an index from 0 to count - 1; false when none is left.
  bool take(size_t* i) {
    *i = next_->fetch_add(1, std::memory_order_relaxed);
    return *i < count_;
  }
  // Whether this is the thread that asked for the loop.
  bool caller() const { return caller_; }

 private:
  std::atomic<size_t>* next_;
  size_t count_;
  bool caller_;
};

// body(what, &share), by the calling thread and by as many more as come in time, up to `threads` in all; returns when
// all have left. Within a body the same is done by the calling thread alone. What a body throws, it throws.
void run_together(int threads, size_t count, void (*body)(const void*, Share*), const void* what);

// body(&share) by up to `threads` threads.
template <class F>
void together(int threads, size_t count, const F& body) {
  run_together(threads, count, [](const void* f, Share* share) { (*static_cast<const F*>(f))(share); }, &body);
}

// f(i) for i from 0 to count - 1, in any order.
template <class F>
void each_of(int threads, size_t count, const F& f) {
  if (threads < 2 || count < 2) {
    for (size_t i = 0; i < count; ++i) f(i);
    return;
  }
  together(threads, count, [&f](Share* share) {
    for (size_t i; share->take(&i);) f(i);
  });
}

// f(begin, end) for pieces that together are 0 to count - 1, in any order, none shorter than `least` but the last.
template <class F>
void pieces_of(int threads, size_t count, size_t least, const F& f) {
  constexpr size_t kEach = 4;  // pieces for a thread, so that the last one is not long awaited
  const size_t most = std::max<size_t>(1, kEach * static_cast<size_t>(std::max(threads, 1)));
  const size_t size = std::max(least, (count + most - 1) / most);
  if (threads < 2 || count <= size) {
    if (count) f(size_t{0}, count);
    return;
  }
  each_of(threads, (count + size - 1) / size, [&](size_t i) { f(i * size, std::min(count, (i + 1) * size)); });
}

}  // namespace splat2d
