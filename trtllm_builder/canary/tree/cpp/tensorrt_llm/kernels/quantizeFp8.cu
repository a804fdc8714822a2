#include "tensorrt_llm/kernels/kernels.h"
#include "tensorrt_llm/kernels/numeric.cuh"

#include <cuda_fp8.h>

namespace tensorrt_llm::kernels
{
template <typename T>
__global__ void quantizeFp8(uint8_t* out, T const* x, float scale, int64_t count)
{
    int64_t const stride = int64_t(gridDim.x) * blockDim.x;
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += stride)
    {
        out[i] = __nv_cvt_float_to_fp8(toFloat(x[i]) * scale, __NV_SATFINITE, __NV_E4M3);
    }
}

template <typename T>
cudaError_t launchQuantizeFp8(uint8_t* out, T const* x, float scale, int64_t count, cudaStream_t stream)
{
    quantizeFp8<<<256, 256, 0, stream>>>(out, x, scale, count);
    return cudaGetLastError();
}

template cudaError_t launchQuantizeFp8(uint8_t*, float const*, float, int64_t, cudaStream_t);
template cudaError_t launchQuantizeFp8(uint8_t*, __half const*, float, int64_t, cudaStream_t);
template cudaError_t launchQuantizeFp8(uint8_t*, __nv_bfloat16 const*, float, int64_t, cudaStream_t);
} // namespace tensorrt_llm::kernels
