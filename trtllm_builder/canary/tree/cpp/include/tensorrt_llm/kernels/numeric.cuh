#pragma once
#include <cuda_bf16.h>
#include <cuda_fp16.h>

// Kernels compute in float, whatever they load and store.
namespace tensorrt_llm::kernels
{
__device__ inline float toFloat(float x)
{
    return x;
}

__device__ inline float toFloat(__half x)
{
    return __half2float(x);
}

__device__ inline float toFloat(__nv_bfloat16 x)
{
    return __bfloat162float(x);
}

template <typename T>
__device__ T fromFloat(float x);

template <>
__device__ inline float fromFloat<float>(float x)
{
    return x;
}

template <>
__device__ inline __half fromFloat<__half>(float x)
{
    return __float2half(x);
}

template <>
__device__ inline __nv_bfloat16 fromFloat<__nv_bfloat16>(float x)
{
    return __float2bfloat16(x);
}
} // namespace tensorrt_llm::kernels
