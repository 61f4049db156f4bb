// The device that a fit runs on, chosen when its sources are compiled: this machine's cores, or a GPU (cuda/fit.cu
// compiles the same sources again). What differs between the two is in the two headers here, and nowhere else.
#pragma once

#ifdef SPLAT2D_GPU
#include "../../cuda/device.hpp"
#else
#include "device/cpu.hpp"
#endif
