#include "bind/workers.hpp"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#ifndef _WIN32
#include <pthread.h>
#endif

namespace splat2d {
namespace {

std::atomic<bool> forked{false};

// How many threads, up to `wanted`, can be there at once beside this one.
int room_for(int wanted) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::vector<std::thread> threads;
  try {
    while (static_cast<int>(threads.size()) < wanted)
      threads.emplace_back([&] {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return done; });
      });
  } catch (const std::system_error&) {
  }
  {
    const std::scoped_lock lock(mutex);
    done = true;
  }
  changed.notify_all();
  for (std::thread& t : threads) t.join();
  return static_cast<int>(threads.size());
}

}  // namespace

int granted_threads(int asked) {
  if (forked.load(std::memory_order_relaxed)) return 1;
  asked = std::clamp(asked, 1, std::max(4 * omp_get_num_procs(), 16));
  // The runtime keeps a pool for each thread that calls it, and ends the process if it cannot fill one: so try first.
  thread_local int room = 1;
  if (asked > room) room = 1 + room_for(asked - 1);
  return std::min(asked, room);
}

void watch_forks() {
#ifndef _WIN32
  pthread_atfork(nullptr, nullptr, [] { forked.store(true, std::memory_order_relaxed); });
#endif
}

}  // namespace splat2d
