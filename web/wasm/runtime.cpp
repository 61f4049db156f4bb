// What the standard library needs of a host, so that the module imports nothing: no host is asked for anything.
#include <cstddef>

namespace std {
inline namespace __1 {
[[noreturn]] void __libcpp_verbose_abort(const char*, ...) noexcept { __builtin_trap(); }
}  // namespace __1
}  // namespace std
