#include "tensorrt_llm/kernels/kernels.h"

namespace tensorrt_llm::kernels
{
__global__ void square(int* values, int count)
{
    int const index = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (index < count)
    {
        values[index] *= values[index];
    }
}

cudaError_t launchSquare(int* values, int count, cudaStream_t stream)
{
    square<<<(count + 255) / 256, 256, 0, stream>>>(values, count);
    return cudaGetLastError();
}
} // namespace tensorrt_llm::kernels
