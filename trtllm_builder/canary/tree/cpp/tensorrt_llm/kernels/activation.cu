#include "tensorrt_llm/kernels/kernels.h"
#include "tensorrt_llm/kernels/numeric.cuh"

namespace tensorrt_llm::kernels
{
template <typename T>
__global__ void swiGlu(T* out, T const* x, int columns)
{
    int64_t const row = blockIdx.x;
    for (int column = threadIdx.x; column < columns; column += blockDim.x)
    {
        float const gate = toFloat(x[row * 2 * columns + column]);
        float const value = toFloat(x[row * 2 * columns + columns + column]);
        out[row * columns + column] = fromFloat<T>(gate / (1.f + __expf(-gate)) * value);
    }
}

template <typename T>
cudaError_t launchSwiGlu(T* out, T const* x, int rows, int columns, cudaStream_t stream)
{
    swiGlu<<<rows, 256, 0, stream>>>(out, x, columns);
    return cudaGetLastError();
}

template cudaError_t launchSwiGlu(float*, float const*, int, int, cudaStream_t);
template cudaError_t launchSwiGlu(__half*, __half const*, int, int, cudaStream_t);
template cudaError_t launchSwiGlu(__nv_bfloat16*, __nv_bfloat16 const*, int, int, cudaStream_t);
} // namespace tensorrt_llm::kernels
