#pragma once
#include "tensorrt_llm/kernels/numeric.cuh"

#include <cstdint>

// Attention of one query row a block, over keys in pieces, with a running maximum and sum (so no score matrix).
namespace tensorrt_llm::kernels
{
template <typename T, int kHead>
__global__ void fmha(T* out, T const* q, T const* k, T const* v, int length, bool causal, float scale)
{
    __shared__ float query[kHead];
    __shared__ float scores[kHead];
    int const row = blockIdx.x;
    int64_t const base = int64_t(blockIdx.y) * length * kHead;
    int const lane = threadIdx.x;
    query[lane] = scale * toFloat(q[base + int64_t(row) * kHead + lane]);
    float highest = -INFINITY;
    float sum = 0.f;
    float result = 0.f;
    int const end = causal ? row + 1 : length;
    for (int start = 0; start < end; start += kHead)
    {
        __syncthreads();
        float score = -INFINITY;
        if (start + lane < end)
        {
            score = 0.f;
            T const* const key = k + base + int64_t(start + lane) * kHead;
#pragma unroll
            for (int i = 0; i < kHead; ++i)
            {
                score += query[i] * toFloat(key[i]);
            }
        }
        scores[lane] = score;
        __syncthreads();
        float pieceHighest = highest;
#pragma unroll
        for (int i = 0; i < kHead; ++i)
        {
            pieceHighest = fmaxf(pieceHighest, scores[i]);
        }
        float const fade = __expf(highest - pieceHighest);
        sum *= fade;
        result *= fade;
        int const valid = min(kHead, end - start);
        for (int i = 0; i < valid; ++i)
        {
            float const weight = __expf(scores[i] - pieceHighest);
            sum += weight;
            result += weight * toFloat(v[base + int64_t(start + i) * kHead + lane]);
        }
        highest = pieceHighest;
    }
    out[base + int64_t(row) * kHead + lane] = fromFloat<T>(result / sum);
}
} // namespace tensorrt_llm::kernels
