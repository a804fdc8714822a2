#pragma once
#include "tensorrt_llm/kernels/kernels.h"
#include "tensorrt_llm/kernels/numeric.cuh"

// A tiled matrix product with a fused epilogue: every thread keeps a kRows x kColumns piece of the tile in registers.
namespace tensorrt_llm::kernels
{
template <Activation kActivation>
__device__ float activate(float x)
{
    if constexpr (kActivation == Activation::kRelu)
    {
        return fmaxf(x, 0.f);
    }
    else if constexpr (kActivation == Activation::kGelu)
    {
        return 0.5f * x * (1.f + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
    }
    else if constexpr (kActivation == Activation::kSilu)
    {
        return x / (1.f + __expf(-x));
    }
    return x;
}

template <typename T, int kTile, int kRows, int kColumns, int kDepth, Activation kActivation>
__global__ void gemm(T const* a, T const* b, T const* bias, T* c, int m, int n, int k)
{
    constexpr int kThreads = (kTile / kRows) * (kTile / kColumns);
    __shared__ float tileA[kDepth][kTile + 1];
    __shared__ float tileB[kDepth][kTile + 1];
    int const row0 = blockIdx.y * kTile;
    int const column0 = blockIdx.x * kTile;
    int const threadRow = threadIdx.x / (kTile / kColumns) * kRows;
    int const threadColumn = threadIdx.x % (kTile / kColumns) * kColumns;
    float sum[kRows][kColumns] = {};

    for (int depth0 = 0; depth0 < k; depth0 += kDepth)
    {
        for (int i = threadIdx.x; i < kTile * kDepth; i += kThreads)
        {
            int const row = row0 + i / kDepth;
            int const depth = depth0 + i % kDepth;
            tileA[i % kDepth][i / kDepth] = row < m && depth < k ? toFloat(a[int64_t(row) * k + depth]) : 0.f;
        }
        for (int i = threadIdx.x; i < kTile * kDepth; i += kThreads)
        {
            int const depth = depth0 + i / kTile;
            int const column = column0 + i % kTile;
            tileB[i / kTile][i % kTile] = column < n && depth < k ? toFloat(b[int64_t(depth) * n + column]) : 0.f;
        }
        __syncthreads();
#pragma unroll
        for (int depth = 0; depth < kDepth; ++depth)
        {
#pragma unroll
            for (int row = 0; row < kRows; ++row)
            {
#pragma unroll
                for (int column = 0; column < kColumns; ++column)
                {
                    sum[row][column] += tileA[depth][threadRow + row] * tileB[depth][threadColumn + column];
                }
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int row = 0; row < kRows; ++row)
    {
#pragma unroll
        for (int column = 0; column < kColumns; ++column)
        {
            int const y = row0 + threadRow + row;
            int const x = column0 + threadColumn + column;
            if (y < m && x < n)
            {
                float const value = sum[row][column] + (bias == nullptr ? 0.f : toFloat(bias[x]));
                c[int64_t(y) * n + x] = fromFloat<T>(activate<kActivation>(value));
            }
        }
    }
}

template <typename T, int kTile, int kRows, int kColumns, int kDepth>
cudaError_t launchTile(
    T const* a, T const* b, T const* bias, T* c, int m, int n, int k, Activation activation, cudaStream_t stream)
{
    dim3 const grid((n + kTile - 1) / kTile, (m + kTile - 1) / kTile);
    int const threads = (kTile / kRows) * (kTile / kColumns);
    switch (activation)
    {
    case Activation::kIdentity:
        gemm<T, kTile, kRows, kColumns, kDepth, Activation::kIdentity><<<grid, threads, 0, stream>>>(a, b, bias, c, m, n, k);
        break;
#ifndef FAST_BUILD
    case Activation::kRelu:
        gemm<T, kTile, kRows, kColumns, kDepth, Activation::kRelu><<<grid, threads, 0, stream>>>(a, b, bias, c, m, n, k);
        break;
    case Activation::kGelu:
        gemm<T, kTile, kRows, kColumns, kDepth, Activation::kGelu><<<grid, threads, 0, stream>>>(a, b, bias, c, m, n, k);
        break;
    case Activation::kSilu:
        gemm<T, kTile, kRows, kColumns, kDepth, Activation::kSilu><<<grid, threads, 0, stream>>>(a, b, bias, c, m, n, k);
        break;
#endif
    default: return cudaErrorNotSupported;
    }
    return cudaGetLastError();
}

template <typename T>
cudaError_t launchGemm(
    T const* a, T const* b, T const* bias, T* c, int m, int n, int k, Activation activation, cudaStream_t stream)
{
#ifndef FAST_BUILD
    if (m > 64 && n > 64)
    {
        return launchTile<T, 128, 8, 8, 8>(a, b, bias, c, m, n, k, activation, stream);
    }
    if (m > 32 && n > 32)
    {
        return launchTile<T, 64, 4, 4, 16>(a, b, bias, c, m, n, k, activation, stream);
    }
#endif
    return launchTile<T, 32, 2, 2, 16>(a, b, bias, c, m, n, k, activation, stream);
}
} // namespace tensorrt_llm::kernels
