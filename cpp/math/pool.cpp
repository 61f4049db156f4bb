#include "math/pool.hpp"

#include <chrono>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#ifndef _WIN32
#include <pthread.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace splat2d {

namespace {

using Clock = std::chrono::steady_clock;

// How long a thread looks again and again before it sleeps: on an idle machine waking one takes about as long.
constexpr std::chrono::microseconds kPatience{60};

std::atomic<bool> forked{false};
thread_local bool working = false;  // on a body

void rest() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until `done` of a value, first awake and then asleep. Returns the value.
template <class F>
uint32_t await(const std::atomic<uint32_t>& value, F done) {
  uint32_t now = value.load(std::memory_order_acquire);
  if (done(now)) return now;
  const Clock::time_point start = Clock::now();
  do {
    for (int i = 0; i < 16; ++i) {
      rest();
      if (done(now = value.load(std::memory_order_acquire))) return now;
    }
  } while (Clock::now() - start < kPatience);
  while (!done(now)) {
    value.wait(now, std::memory_order_acquire);
    now = value.load(std::memory_order_acquire);
  }
  return now;
}

// A thread's helpers. They hold it together, so that none is waited for when the thread ends.
class Crew : public std::enable_shared_from_this<Crew> {
 public:
  int helpers() const { return helpers_; }

  // Has that many, or as many as there is room for.
  void grow(int wanted) {
    if (full_) return;
    try {
      for (; helpers_ < wanted; ++helpers_) std::thread([self = shared_from_this()] { self->help(); }).detach();
    } catch (const std::system_error&) {
      full_ = true;
    } catch (const std::bad_alloc&) {
      full_ = true;
    }
  }

  void run(int helpers, size_t count, void (*body)(const void*, Share*), const void* what) {
    grow(helpers);
    body_ = body;
    what_ = what;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    wanted_.store(static_cast<uint32_t>(helpers), std::memory_order_relaxed);
    const uint32_t round = door_.load(std::memory_order_relaxed) + kRound;
    door_.store(kOpen | (round & kRounds), std::memory_order_release);
    door_.notify_all();
    work(true);
    // Who has not come by now is not waited for.
    door_.fetch_and(~kOpen, std::memory_order_acq_rel);
    await(door_, [](uint32_t door) { return (door & kInside) == 0; });
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

  void dismiss() {
    door_.fetch_or(kOver, std::memory_order_release);
    door_.notify_all();
  }

 private:
  // Bits of the door: open, no more work ever, the number of the loop, how many helpers are inside.
  static constexpr uint32_t kOpen = 1u << 31, kOver = 1u << 30, kRound = 1u << 12, kInside = kRound - 1,
                            kRounds = kOver - kRound;

  void work(bool caller) {
    Share share(&next_, count_, caller);
    working = true;
    try {
      body_(what_, &share);
    } catch (...) {
      next_.store(count_, std::memory_order_relaxed);
      const std::scoped_lock lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
    working = false;
  }

  void help() {
    uint32_t last = 0;  // loop
    for (;;) {
      uint32_t door = await(door_, [&](uint32_t now) {
        return (now & kOver) ||
               ((now & kOpen) && (now & kRounds) != last && (now & kInside) < wanted_.load(std::memory_order_relaxed));
      });
      if (door & kOver) return;
      if (!door_.compare_exchange_strong(door, door + 1, std::memory_order_acq_rel)) continue;
      last = door & kRounds;
      work(false);
      const uint32_t before = door_.fetch_sub(1, std::memory_order_acq_rel);
      if ((before & (kOpen | kInside)) == 1) door_.notify_all();  // the caller waits for the last to leave
    }
  }

  std::atomic<uint32_t> door_{0};
  // Written while the door is closed and nobody inside.
  void (*body_)(const void*, Share*) = nullptr;
  const void* what_ = nullptr;
  size_t count_ = 0;
  std::atomic<size_t> next_{0};
  std::atomic<uint32_t> wanted_{0};

  std::mutex mutex_;  // of what was thrown
  std::exception_ptr error_;
  int helpers_ = 0;
  bool full_ = false;  // the system has no room for more
};

// This thread's.
Crew& crew() {
  struct Owner {
    std::shared_ptr<Crew> crew = std::make_shared<Crew>();
    ~Owner() { crew->dismiss(); }
  };
  thread_local Owner owner;
  return *owner.crew;
}

}  // namespace

int granted_threads(int asked) {
  if (forked.load(std::memory_order_relaxed)) return 1;
  static const int most = std::max(4 * static_cast<int>(std::thread::hardware_concurrency()), 16);
  asked = std::clamp(asked, 1, std::min(most, 4000));  // which a crew can count
  if (asked == 1) return 1;
  crew().grow(asked - 1);
  return std::min(asked, 1 + crew().helpers());
}

void watch_forks() {
#ifndef _WIN32
  pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });
#endif
}

void run_together(int threads, size_t count, void (*body)(const void*, Share*), const void* what) {
  const int helpers = static_cast<int>(std::min<size_t>(std::max(threads, 1) - 1, count ? count - 1 : 0));
  if (helpers == 0 || working || forked.load(std::memory_order_relaxed)) {
    std::atomic<size_t> next{0};
    Share share(&next, count, true);
    body(what, &share);
    return;
  }
  crew().run(helpers, count, body, what);
}

}  // namespace splat2d
