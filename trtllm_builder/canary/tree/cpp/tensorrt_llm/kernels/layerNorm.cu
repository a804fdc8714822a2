#include "tensorrt_llm/kernels/kernels.h"
#include "tensorrt_llm/kernels/numeric.cuh"

#include <cub/block/block_reduce.cuh>

namespace tensorrt_llm::kernels
{
template <typename T, int kThreads>
__global__ void rmsNorm(T* x, T const* weight, int columns, float epsilon)
{
    using Reduce = cub::BlockReduce<float, kThreads>;
    __shared__ typename Reduce::TempStorage storage;
    __shared__ float scale;
    T* const row = x + int64_t(blockIdx.x) * columns;
    float squares = 0.f;
    for (int column = threadIdx.x; column < columns; column += kThreads)
    {
        float const value = toFloat(row[column]);
        squares += value * value;
    }
    float const total = Reduce(storage).Sum(squares);
    if (threadIdx.x == 0)
    {
        scale = rsqrtf(total / columns + epsilon);
    }
    __syncthreads();
    for (int column = threadIdx.x; column < columns; column += kThreads)
    {
        row[column] = fromFloat<T>(toFloat(row[column]) * scale * toFloat(weight[column]));
    }
}

template <typename T>
cudaError_t launchRmsNorm(T* x, T const* weight, int rows, int columns, float epsilon, cudaStream_t stream)
{
#ifndef FAST_BUILD
    if (columns > 1024)
    {
        rmsNorm<T, 512><<<rows, 512, 0, stream>>>(x, weight, columns, epsilon);
        return cudaGetLastError();
    }
#endif
    rmsNorm<T, 128><<<rows, 128, 0, stream>>>(x, weight, columns, epsilon);
    return cudaGetLastError();
}

template cudaError_t launchRmsNorm(float*, float const*, int, int, float, cudaStream_t);
template cudaError_t launchRmsNorm(__half*, __half const*, int, int, float, cudaStream_t);
template cudaError_t launchRmsNorm(__nv_bfloat16*, __nv_bfloat16 const*, int, int, float, cudaStream_t);
} // namespace tensorrt_llm::kernels
