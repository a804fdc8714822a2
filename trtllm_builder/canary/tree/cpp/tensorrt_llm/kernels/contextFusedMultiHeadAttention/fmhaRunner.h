#pragma once
#include <cuda_runtime_api.h>

// Tensors are [heads, length, head size] in half precision.
using FmhaLauncher = cudaError_t (*)(void* out, void const* q, void const* k, void const* v, int heads, int length,
    bool causal, float scale, cudaStream_t stream);

// One launcher for each generated file.
extern "C" cudaError_t run_fmha_v2_S_32(void*, void const*, void const*, void const*, int, int, bool, float, cudaStream_t);
extern "C" cudaError_t run_fmha_v2_S_64(void*, void const*, void const*, void const*, int, int, bool, float, cudaStream_t);
extern "C" cudaError_t run_fmha_v2_S_128(void*, void const*, void const*, void const*, int, int, bool, float, cudaStream_t);
