// The library's C interface for drawing: plain pointers and a stream, so that any program can load it.
#include <stdexcept>

#include "api.hpp"
#include "math/view.hpp"
#include "raster.hpp"

namespace {

using namespace splat2d;
using namespace splat2d::gpu;

// What the kernels' indices and grids hold.
void require_sizes(const Frames& s, Canvas canvas) {
  constexpr int kMostSide = 1 << 18, kMostFrames = 65535;
  const auto require = [](bool good, const char* what) {
    if (!good) throw std::invalid_argument(what);
  };
  require(canvas.width > 0 && canvas.height > 0 && canvas.width <= kMostSide && canvas.height <= kMostSide,
          "width and height must be from 1 to 262144");
  require(s.frames > 0 && s.frames <= kMostFrames, "frames must be from 1 to 65535");
  require(s.count >= 0 && static_cast<int64_t>(s.frames) * s.count < int64_t{1} << 31, "too many splats");
  require(s.channels >= 1 && s.channels <= kMaxChannels, "channels must be from 1 to 4");
}

constexpr int kThreads = 256;

__global__ void see_splats(Frames s, Window window, float* __restrict__ means, float* __restrict__ conics,
                           float* __restrict__ colors) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, C = s.channels;
  if (i < s.count)
    through_window(window, s.means + 2 * i, s.conics + 3 * i, s.channels, s.colors + C * i, means + 2 * i,
                   conics + 3 * i, colors + C * i);
}

// Memory for one picture that is drawn from splats of the CPU.
struct Session {
  explicit Session(cudaStream_t stream) : rasterizer(stream) {}
  Rasterizer rasterizer;
  Buffer<float> splats, planes, base;
  Buffer<unsigned char> bytes;
};

}  // namespace

SPLAT2D_EXPORT const char* splat2d_cuda_error() { return last_error.c_str(); }

// How many devices there are, none with a text why.
SPLAT2D_EXPORT int splat2d_cuda_devices(int* count) {
  return guarded([&] {
    *count = 0;
    int driver = 0;
    check(cudaDriverGetVersion(&driver), "looking for a driver");
    if (driver == 0) throw CudaError("there is no NVIDIA driver on this machine");
    check(cudaGetDeviceCount(count), "looking for a GPU");
  });
}

SPLAT2D_EXPORT int splat2d_cuda_open(void* stream, void** session) {
  return guarded([&] { *session = new Session(static_cast<cudaStream_t>(stream)); });
}

SPLAT2D_EXPORT void splat2d_cuda_close(void* session) { delete static_cast<Session*>(session); }

// All pointers are device memory; see Rasterizer::forward.
SPLAT2D_EXPORT int splat2d_cuda_forward(void* session, const float* means, const float* conics, const float* colors,
                                        int frames, int count, int channels, int width, int height, float cutoff,
                                        const float* base, int base_is_color, float* out) {
  return guarded([&] {
    const Frames s{frames, count, channels, means, conics, colors};
    require_sizes(s, {width, height});
    static_cast<Session*>(session)->rasterizer.forward(s, {width, height}, cutoff, {base, base_is_color != 0, {}, out});
  });
}

// The same of one frame seen through a window of the canvas; background [C] or null.
SPLAT2D_EXPORT int splat2d_cuda_window(void* session, const float* means, const float* conics, const float* colors,
                                       int count, int channels, double x, double y, double scale_x, double scale_y,
                                       int width, int height, float cutoff, const float* background, float* out) {
  return guarded([&] {
    auto& self = *static_cast<Session*>(session);
    const Frames s{1, count, channels, means, conics, colors};
    require_sizes(s, {width, height});
    const size_t n = count;
    float* m = self.splats.reserve(n * (5 + channels));
    float *c = m + 2 * n, *k = c + 3 * n;
    if (count)
      launch_loop(see_splats, dim3(parts(count, kThreads)), kThreads, self.rasterizer.stream(), s,
                  Window{x, y, scale_x, scale_y}, m, c, k);
    self.rasterizer.forward({1, count, channels, m, c, k}, {width, height}, cutoff, {background, true, {}, out});
  });
}

// All pointers are device memory; see Rasterizer::backward.
SPLAT2D_EXPORT int splat2d_cuda_backward(void* session, const float* means, const float* conics, const float* colors,
                                         int frames, int count, int channels, int width, int height, float cutoff,
                                         const float* v_out, float* v_means, float* v_conics, float* v_colors) {
  return guarded([&] {
    const Frames s{frames, count, channels, means, conics, colors};
    require_sizes(s, {width, height});
    static_cast<Session*>(session)->rasterizer.backward(s, {width, height}, cutoff, v_out, v_means, v_conics, v_colors);
  });
}

// Draws splats of the CPU into memory of the CPU: planes [C, H, W], or bytes [H, W, C]; either may be null.
SPLAT2D_EXPORT int splat2d_cuda_render(void* session, const float* means, const float* conics, const float* colors,
                                       int count, int channels, int width, int height, float cutoff,
                                       const float* background, int unpremultiply, float* planes,
                                       unsigned char* bytes) {
  return guarded([&] {
    auto& self = *static_cast<Session*>(session);
    const Canvas canvas{width, height};
    require_sizes({1, count, channels, means, conics, colors}, canvas);
    const cudaStream_t stream = self.rasterizer.stream();
    const size_t n = count, values = static_cast<size_t>(width) * height * channels;
    float* to = self.splats.reserve(n * (5 + channels));
    const auto upload = [&](const float* from, size_t size) {
      if (size) check(cudaMemcpyAsync(to, from, size * 4, cudaMemcpyHostToDevice, stream), "copying to the GPU");
      const float* at = to;
      to += size;
      return at;
    };
    const float *m = upload(means, 2 * n), *s = upload(conics, 3 * n), *k = upload(colors, n * channels);
    float* base = nullptr;
    if (background) {
      base = self.base.reserve(kMaxChannels);
      check(cudaMemcpyAsync(base, background, 4 * channels, cudaMemcpyHostToDevice, stream), "copying to the GPU");
    }
    float* drawn = self.planes.reserve(values);
    self.rasterizer.forward({1, count, channels, m, s, k}, canvas, cutoff, {base, true, {}, drawn});
    if (planes)
      check(cudaMemcpyAsync(planes, drawn, values * 4, cudaMemcpyDeviceToHost, stream), "copying from the GPU");
    if (bytes) {
      unsigned char* packed = self.bytes.reserve(values);
      self.rasterizer.to_bytes(drawn, channels, canvas, unpremultiply != 0, packed);
      check(cudaMemcpyAsync(bytes, packed, values, cudaMemcpyDeviceToHost, stream), "copying from the GPU");
    }
    check(cudaStreamSynchronize(stream), "drawing");
  });
}
