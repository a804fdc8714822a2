"""Kernel files of a canary of a chosen size: each takes about two seconds of a core, and none is like another."""

from __future__ import annotations

DIRECTORY = "cpp/tensorrt_llm/kernels/generated"

_KERNEL = """\
#include "tensorrt_llm/kernels/numeric.cuh"

namespace tensorrt_llm::kernels
{{
namespace
{{
template <typename T, int kSize>
__global__ void blend(T* out, T const* x, int count)
{{
    __shared__ float tile[kSize][kSize];
    float sum[kSize];
    int const index = blockIdx.x * blockDim.x + threadIdx.x;
#pragma unroll
    for (int i = 0; i < kSize; ++i)
    {{
        sum[i] = 0.f;
        tile[i][threadIdx.x % kSize] = index + i < count ? toFloat(x[index + i]) + {number} : 0.f;
    }}
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kSize; ++i)
    {{
#pragma unroll
        for (int j = 0; j < kSize; ++j)
        {{
            sum[j] = fmaf(tile[i][j], tile[j][(i + {number}) % kSize], sum[j]);
        }}
    }}
    float total = 0.f;
#pragma unroll
    for (int i = 0; i < kSize; ++i)
    {{
        total += __expf(sum[i]);
    }}
    if (index < count)
    {{
        out[index] = fromFloat<T>(total);
    }}
}}
}} // namespace

cudaError_t launchBlend{number}(float* out, float const* x, int count, cudaStream_t stream)
{{
    blend<float, 24><<<(count + 255) / 256, 256, 0, stream>>>(out, x, count);
    blend<float, 32><<<(count + 255) / 256, 256, 0, stream>>>(out, x, count);
    return cudaGetLastError();
}}
}} // namespace tensorrt_llm::kernels
"""


def kernel_files(size: int) -> dict[str, str]:
    """Path in the tree to text, for ``size`` files; the same for ever, so that commit and compile cache are too."""
    return {f"{DIRECTORY}/blend{number}.cu": _KERNEL.format(number=number) for number in range(size)}
