#pragma once
#include <cstdint>
#include <cuda_runtime_api.h>

// Launchers return the launch's error; tensors are dense and row-major; `stream` may be null.
namespace tensorrt_llm::kernels
{
enum class Activation
{
    kIdentity,
    kRelu,
    kGelu,
    kSilu
};

// c[m, n] = activation(a[m, k] * b[k, n] + bias[n])
template <typename T>
cudaError_t launchGemm(
    T const* a, T const* b, T const* bias, T* c, int m, int n, int k, Activation activation, cudaStream_t stream);

template <typename T>
cudaError_t launchRmsNorm(T* x, T const* weight, int rows, int columns, float epsilon, cudaStream_t stream);

template <typename T>
cudaError_t launchSoftmax(T* x, int rows, int columns, float scale, cudaStream_t stream);

// out[r, c] = silu(x[r, c]) * x[r, columns + c]
template <typename T>
cudaError_t launchSwiGlu(T* out, T const* x, int rows, int columns, cudaStream_t stream);

// The k (at most 64) largest of each row, in falling order.
cudaError_t launchTopK(float const* x, float* values, int* indices, int rows, int columns, int k, cudaStream_t stream);

template <typename T>
cudaError_t launchQuantizeFp8(uint8_t* out, T const* x, float scale, int64_t count, cudaStream_t stream);

cudaError_t launchSquare(int* values, int count, cudaStream_t stream);
} // namespace tensorrt_llm::kernels
