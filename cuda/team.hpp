// Threads that work on one thing together, and the lanes of their warps: cpp/device/cpu.hpp's Team and Lanes.
#pragma once

#include "pixels.hpp"
#include "sums.hpp"

namespace splat2d {

class Lanes {
 public:
  static constexpr int kCount = gpu::kWarp;

  __device__ int lane() const { return static_cast<int>(threadIdx.x) % gpu::kWarp; }
  __device__ bool first() const { return lane() == 0; }
  // The lowest cost of all lanes, and the lowest index that has it.
  __device__ void least(float* cost, int* index) const {
    for (int step = gpu::kWarp / 2; step > 0; step /= 2) {
      const float other = __shfl_xor_sync(gpu::kAllLanes, *cost, step);
      const int others = __shfl_xor_sync(gpu::kAllLanes, *index, step);
      if (other > *cost || (other == *cost && others > *index)) continue;
      *cost = other;
      *index = others;
    }
  }
  // The sum of what all lanes have.
  __device__ float sum(float v) const { return gpu::warp_sum(v); }
  __device__ double sum(double v) const {
    for (int step = gpu::kWarp / 2; step > 0; step /= 2) v += __shfl_xor_sync(gpu::kAllLanes, v, step);
    return v;
  }
  // Those i from 0 to count - 1 for which f(i), in order; all lanes get their number.
  template <class F>
  __device__ int select(int count, F f, int* out) const {
    int found = 0;
    for (int first = 0; first < count; first += kCount) {
      const int i = first + lane();
      const bool holds = i < count && f(i);
      const unsigned all = __ballot_sync(gpu::kAllLanes, holds);
      if (holds) out[found + __popc(all & ((1u << lane()) - 1))] = i;
      found += __popc(all);
    }
    __syncwarp();
    return found;
  }
  template <class T>
  __device__ void copy(const T& from, T* to) const {
    static_assert(sizeof(T) % sizeof(int) == 0);
    const int* a = reinterpret_cast<const int*>(&from);
    for (int i = lane(); i < static_cast<int>(sizeof(T) / sizeof(int)); i += kCount)
      reinterpret_cast<int*>(to)[i] = a[i];
    __syncwarp();
  }
  // What the first lane has written the others can read.
  __device__ void meet() const { __syncwarp(); }
  // Inner products of a Gaussian with a picture and with itself, weighed by a plane where there is one.
  __device__ Projection project(const Ellipse& e, const Box& box, Canvas canvas, int channels, const float* picture,
                                const float* weights) const {
    return look(e, box, canvas, channels, picture, weights, [](float, float, const Pixel&) {}, [](float) {});
  }
  // The same, and the gradients of the product with the colour by the Gaussian's centre and conic.
  __device__ Projection observe(const Ellipse& e, const Box& box, Canvas canvas, int channels, const float* color,
                                const float* picture, const float* weights, float* v_mean, float* v_conic) const {
    float w_sum = 0, wy_sum = 0;  // of a column
    Moments m = {};
    const Projection out = look(
        e, box, canvas, channels, picture, weights,
        [&](float weighed, float dy, const Pixel& pixel) {
          float dot = 0;
          SPLAT2D_UNROLL
          for (int c = 0; c < kMaxChannels; ++c) dot += c < channels ? pixel.v[c] * color[c] : 0.0f;
          const float w = weighed * dot, wy = w * dy;
          w_sum += w;
          wy_sum += wy;
          m.yy += wy * dy;
        },
        [&](float dx) {
          const float wx = w_sum * dx;
          m.x += wx;
          m.y += wy_sum;
          m.xx += wx * dx;
          m.xy += wy_sum * dx;
          w_sum = wy_sum = 0;
        });
    m = {gpu::warp_sum(m.x), gpu::warp_sum(m.y), gpu::warp_sum(m.xx), gpu::warp_sum(m.xy), gpu::warp_sum(m.yy)};
    shape_gradients(e, m, v_mean, v_conic);
    return out;
  }
  // picture += color g
  __device__ void add(const Ellipse& e, const Box& box, Canvas canvas, int channels, const float* color,
                      float* picture) const {
    struct Place {
      float v[kMaxChannels];
      float* at;
    };
    gpu::each_pixel(
        e, box, lane(), kCount,
        [&](int x, int y) {
          Place place;
          place.at = picture + static_cast<size_t>(y) * canvas.width + x;
          SPLAT2D_UNROLL
          for (int c = 0; c < kMaxChannels; ++c) place.v[c] = c < channels ? place.at[c * canvas.area()] : 0.0f;
          return place;
        },
        [&](float g, float, const Place& place) {
          SPLAT2D_UNROLL
          for (int c = 0; c < kMaxChannels; ++c)
            if (c < channels) place.at[c * canvas.area()] = place.v[c] + color[c] * g;
        },
        [](float) {});
  }
  // What frames show of a splat that moves to another course.
  __device__ Foreseen foresee(const Sightings& s, const CourseChange& change) const {
    const float *a = change.from, *b = change.to, *m = change.apart;
    Foreseen out = {0, 0, 0};
    for (int i = lane(); i < s.count; i += kCount) {
      const float x = s.center[0][i], y = s.center[1][i], after = x - b[2];
      const float dx = after * b[3] - (x - a[2]) * a[3] + b[0] - a[0],
                  dy = (y - b[2]) * b[4] - (y - a[2]) * a[4] + b[1] - a[1];
      const float fade = s.gain[i] * __expf(-0.5f * after * after * change.precision);
      out.drift += s.slope[0][i] * dx + s.slope[1][i] * dy + s.along[i] * (fade - s.fade[i]) +
                   0.5f * (s.bend[0][i] * dx * dx + s.bend[2][i] * dy * dy) + s.bend[1][i] * dx * dy;
      out.shared += s.fade[i] * fade * __expf(-0.5f * (dx * dx * m[0] + 2 * dx * dy * m[1] + dy * dy * m[2]));
      out.self += fade * fade;
    }
    return {gpu::warp_sum(out.drift), gpu::warp_sum(out.shared), gpu::warp_sum(out.self)};
  }

 private:
  struct Pixel {
    float v[kMaxChannels], weight;
  };

  // use(g times the weight, dy, pixel) and column(dx) as `each_pixel` has them, besides the inner products.
  template <class Use, class Column>
  __device__ Projection look(const Ellipse& e, const Box& box, Canvas canvas, int channels, const float* picture,
                             const float* weights, Use use, Column column) const {
    Projection out = {};
    gpu::each_pixel(
        e, box, lane(), kCount,
        [&](int x, int y) {
          const size_t at = static_cast<size_t>(y) * canvas.width + x;
          Pixel pixel;
          SPLAT2D_UNROLL
          for (int c = 0; c < kMaxChannels; ++c) pixel.v[c] = c < channels ? picture[c * canvas.area() + at] : 0.0f;
          pixel.weight = weights ? weights[at] : 1.0f;
          return pixel;
        },
        [&](float g, float dy, const Pixel& pixel) {
          const float weighed = g * pixel.weight;
          SPLAT2D_UNROLL
          for (int c = 0; c < kMaxChannels; ++c) out.with[c] += weighed * pixel.v[c];
          out.self += weighed * g;
          use(weighed, dy, pixel);
        },
        column);
    for (int c = 0; c < kMaxChannels; ++c)
      if (c < channels) out.with[c] = gpu::warp_sum(out.with[c]);
    out.self = gpu::warp_sum(out.self);
    return out;
  }
};

// A block, or several together. What is done once, or shared out as a few things, the first block does.
class Team {
 public:
  static constexpr int kThreads = 768;  // two warps for each move that is tried at the same time, and two to spare
  static constexpr int kWarps = kThreads / gpu::kWarp, kMostSums = 4 * kWarps;  // of several blocks
  static constexpr size_t kMostSum = 256, kRoom = kMostSums * kMostSum;         // bytes

  // shares: room of kRoom for what each block brings to a sum; met: blocks that have come to a meeting, at first none.
  // Both where there are several.
  __device__ Team(int block, int blocks, float* shares, int* met)
      : block_(block), blocks_(blocks), shares_(shares), met_(met) {}

  // None goes on before all have come so far.
  __device__ void meet() const {
    if (blocks_ == 1)
      __syncthreads();
    else
      gpu::meet_blocks(met_, blocks_);
  }
  // f(), by one thread when all have come so far. None goes on before it, or what the others share out, is done.
  template <class F>
  __device__ void once(F f) const {
    meet();
    if (block_ == 0 && threadIdx.x == 0) f();
    meet();
  }
  // f(lanes, i) for i from 0 to count - 1, in any order.
  template <class F>
  __device__ void each(int count, F f) const {
    for (int i = threadIdx.x / gpu::kWarp; block_ == 0 && i < count; i += kWarps) f(Lanes(), i);
    __syncthreads();
  }
  // sums[i] = the sum of what f(lanes, i, part, parts, &sum) says of each part, for i from 0 to count - 1. Where there
  // are more warps than sums several share one.
  template <class Sums, class F>
  __device__ void sum_up(int count, size_t, F f, Sums* sums) const {
    constexpr int kFloats = sizeof(Sums) / sizeof(float);
    static_assert(sizeof(Sums) <= kMostSum);
    __shared__ Sums own[kWarps];
    if (count == 0) return;
    const int warp = threadIdx.x / gpu::kWarp, lane = threadIdx.x % gpu::kWarp;
    const int sharing = sharing_of(count), parts = blocks_ * sharing;
    meet();
    for (int item = warp; item < count * sharing; item += kWarps) {
      const int i = item / sharing, part = block_ * sharing + item % sharing;
      Sums sum{};
      f(Lanes(), i, part, parts, &sum);
      if (lane == 0) *(parts == 1 ? sums + i : blocks_ == 1 ? own + item : shares(i * parts + part, sums)) = sum;
    }
    meet();
    if (parts == 1) return;
    const float* from = reinterpret_cast<const float*>(blocks_ == 1 ? own : shares(0, sums));
    for (int item = warp; block_ == 0 && item < count * kFloats; item += kWarps) {
      const int i = item / kFloats, k = item % kFloats;
      float sum = 0;
      for (int part = lane; part < parts; part += gpu::kWarp) {
        const float* at = from + static_cast<size_t>(i * parts + part) * kFloats + k;
        sum += blocks_ == 1 ? *at : __ldcg(at);
      }
      sum = gpu::warp_sum(sum);
      if (lane == 0) reinterpret_cast<float*>(sums + i)[k] = sum;
    }
    __syncthreads();
  }
  // f(lanes, i, part, parts), which adds a part to the i-th picture, for i from 0 to count - 1, in any order.
  template <class F>
  __device__ void add_each(int count, size_t, F f) const {
    const int sharing = sharing_of(count), parts = blocks_ * sharing;
    for (int item = threadIdx.x / gpu::kWarp; item < count * sharing; item += kWarps)
      f(Lanes(), item / sharing, block_ * sharing + item % sharing, parts);
    __syncthreads();
  }

 private:
  // Warps that share one of so many things, so that they end at about the same time.
  static __device__ int sharing_of(int count) { return count < kWarps ? kWarps / count : 1; }

  // What all blocks bring to a sum, from the i-th on.
  template <class Sums>
  __device__ Sums* shares(int i, Sums*) const {
    return reinterpret_cast<Sums*>(shares_) + i;
  }

  int block_, blocks_;
  float* shares_;
  int* met_;
};

namespace gpu {

// What is given is read where it is: threads would copy it if its address were taken.
template <class Notes, class F>
__global__ void __launch_bounds__(Team::kThreads) run_team(const __grid_constant__ F f) {
  __shared__ Notes notes;
  f(Team(0, 1, nullptr, nullptr), static_cast<int64_t>(blockIdx.x), &notes);
}

// What the blocks of a launch do in order: cpp/device/precedence.hpp, and which blocks share what.
struct Links {
  int first, first_block;      // of a launch
  const int *awaited, *waits;  // by thing
  const int* blocks;           // where each thing's begin, and the end
  const int* things;           // by block
  const int* rooms;            // by thing that several share
  int *done, *met;             // by thing: blocks that have ended, and that have come to a meeting
};

// Room for things that several blocks share.
struct Rooms {
  float* memory;
  size_t notes, room;  // floats: of a thing's notes, and these with what blocks bring to a sum
};

// Each block takes the next of them all, so that those it waits for are at work or done; blocks that share a thing are
// neighbours, and as few as can be at work at the same time.
template <class Notes, class F>
__global__ void __launch_bounds__(Team::kThreads, 1)
    run_teams_in_order(const __grid_constant__ F f, const __grid_constant__ Links links,
                       const __grid_constant__ Rooms rooms, int* next) {
  __shared__ Notes own;
  __shared__ int taken;
  if (threadIdx.x == 0) taken = links.first_block + atomicAdd(next, 1);
  __syncthreads();
  const int i = links.things[taken], block = taken - links.blocks[i], blocks = links.blocks[i + 1] - links.blocks[i];
  for (int w = links.waits[i] + static_cast<int>(threadIdx.x); w < links.waits[i + 1]; w += Team::kThreads) {
    const int before = links.awaited[w];
    wait_for(links.done + before, links.blocks[before + 1] - links.blocks[before]);
  }
  __syncthreads();
  if (blocks == 1) {
    f(Team(0, 1, nullptr, nullptr), static_cast<int64_t>(i - links.first), &own);
  } else {
    float* room = rooms.memory + links.rooms[i] * rooms.room;
    f(Team(block, blocks, room + rooms.notes, links.met + i), static_cast<int64_t>(i - links.first),
      reinterpret_cast<Notes*>(room));
  }
  __syncthreads();
  if (threadIdx.x == 0) tell(links.done + i);
}

}  // namespace gpu
}  // namespace splat2d
