#include "tensorrt_llm/kernels/gemm.cuh"

namespace tensorrt_llm::kernels
{
template cudaError_t launchGemm(__half const*, __half const*, __half const*, __half*, int, int, int, Activation, cudaStream_t);
} // namespace tensorrt_llm::kernels
