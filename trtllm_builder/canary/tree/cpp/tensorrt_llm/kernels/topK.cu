#include "tensorrt_llm/kernels/kernels.h"

#include <cub/block/block_radix_sort.cuh>

namespace tensorrt_llm::kernels
{
constexpr int kThreads = 128;
constexpr int kMost = 64;

// Sorts the row piece by piece; the best so far ride along in the next piece's place.
template <int kItems>
__global__ void topK(float const* x, float* values, int* indices, int columns, int k)
{
    using Sort = cub::BlockRadixSort<float, kThreads, kItems, int>;
    __shared__ typename Sort::TempStorage storage;
    __shared__ float bestValues[kMost];
    __shared__ int bestIndices[kMost];
    if (threadIdx.x < kMost)
    {
        bestValues[threadIdx.x] = -INFINITY;
        bestIndices[threadIdx.x] = -1;
    }
    __syncthreads();
    constexpr int kFresh = kThreads * kItems - kMost;
    for (int start = 0; start < columns; start += kFresh)
    {
        float keys[kItems];
        int items[kItems];
        for (int i = 0; i < kItems; ++i)
        {
            int const place = threadIdx.x * kItems + i;
            int const column = start + place - kMost;
            bool const old = place < kMost;
            keys[i] = old ? bestValues[place] : column < columns ? x[int64_t(blockIdx.x) * columns + column] : -INFINITY;
            items[i] = old ? bestIndices[place] : column;
        }
        __syncthreads();
        Sort(storage).SortDescending(keys, items);
        for (int i = 0; i < kItems; ++i)
        {
            int const place = threadIdx.x * kItems + i;
            if (place < kMost)
            {
                bestValues[place] = keys[i];
                bestIndices[place] = items[i];
            }
        }
        __syncthreads();
    }
    if (threadIdx.x < k)
    {
        values[int64_t(blockIdx.x) * k + threadIdx.x] = bestValues[threadIdx.x];
        indices[int64_t(blockIdx.x) * k + threadIdx.x] = bestIndices[threadIdx.x];
    }
}

cudaError_t launchTopK(float const* x, float* values, int* indices, int rows, int columns, int k, cudaStream_t stream)
{
    if (k > kMost)
    {
        return cudaErrorInvalidValue;
    }
#ifndef FAST_BUILD
    if (columns > 2048)
    {
        topK<8><<<rows, kThreads, 0, stream>>>(x, values, indices, columns, k);
        return cudaGetLastError();
    }
#endif
    topK<2><<<rows, kThreads, 0, stream>>>(x, values, indices, columns, k);
    return cudaGetLastError();
}
} // namespace tensorrt_llm::kernels
