#include "tensorrt_llm/kernels/kernels.h"
#include "tensorrt_llm/kernels/numeric.cuh"

#include <cub/block/block_reduce.cuh>

namespace tensorrt_llm::kernels
{
template <typename T, int kThreads>
__global__ void softmax(T* x, int columns, float scale)
{
    using Reduce = cub::BlockReduce<float, kThreads>;
    __shared__ typename Reduce::TempStorage storage;
    __shared__ float shared;
    T* const row = x + int64_t(blockIdx.x) * columns;

    float highest = -INFINITY;
    for (int column = threadIdx.x; column < columns; column += kThreads)
    {
        highest = fmaxf(highest, scale * toFloat(row[column]));
    }
    highest = Reduce(storage).Reduce(highest, [](float a, float b) { return fmaxf(a, b); });
    if (threadIdx.x == 0)
    {
        shared = highest;
    }
    __syncthreads();
    highest = shared;

    float sum = 0.f;
    for (int column = threadIdx.x; column < columns; column += kThreads)
    {
        sum += __expf(scale * toFloat(row[column]) - highest);
    }
    sum = Reduce(storage).Sum(sum);
    if (threadIdx.x == 0)
    {
        shared = 1.f / sum;
    }
    __syncthreads();
    for (int column = threadIdx.x; column < columns; column += kThreads)
    {
        row[column] = fromFloat<T>(__expf(scale * toFloat(row[column]) - highest) * shared);
    }
}

template <typename T>
cudaError_t launchSoftmax(T* x, int rows, int columns, float scale, cudaStream_t stream)
{
#ifndef FAST_BUILD
    if (columns > 1024)
    {
        softmax<T, 512><<<rows, 512, 0, stream>>>(x, columns, scale);
        return cudaGetLastError();
    }
#endif
    softmax<T, 128><<<rows, 128, 0, stream>>>(x, columns, scale);
    return cudaGetLastError();
}

template cudaError_t launchSoftmax(float*, int, int, float, cudaStream_t);
template cudaError_t launchSoftmax(__half*, int, int, float, cudaStream_t);
template cudaError_t launchSoftmax(__nv_bfloat16*, int, int, float, cudaStream_t);
} // namespace tensorrt_llm::kernels
