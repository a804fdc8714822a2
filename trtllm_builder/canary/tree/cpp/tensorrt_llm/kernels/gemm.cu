#include "tensorrt_llm/kernels/gemm.cuh"

namespace tensorrt_llm::kernels
{
template cudaError_t launchGemm(float const*, float const*, float const*, float*, int, int, int, Activation, cudaStream_t);
} // namespace tensorrt_llm::kernels
