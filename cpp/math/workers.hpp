// Who works on independent things: one thread, or as many as the host has.
#pragma once

#include <cstddef>

namespace splat2d {

class Workers {
 public:
  virtual ~Workers() = default;
  // work(what, i) for i from 0 to count - 1, in any order.
  virtual void run(size_t count, void (*work)(const void*, size_t), const void* what) const {
    for (size_t i = 0; i < count; ++i) work(what, i);
  }

  // f(i) for i from 0 to count - 1, in any order.
  template <class F>
  void each(size_t count, const F& f) const {
    run(count, [](const void* what, size_t i) { (*static_cast<const F*>(what))(i); }, &f);
  }
  // f(begin, end) for parts of so many that together are 0 to count - 1, in any order.
  template <class F>
  void parts(size_t count, size_t part, const F& f) const {
    const size_t parts = (count + part - 1) / part;
    each(parts, [&](size_t i) { f(i * part, (i + 1) * part < count ? (i + 1) * part : count); });
  }
};

}  // namespace splat2d
