#include "tensorrt_llm/kernels/gemm.cuh"

namespace tensorrt_llm::kernels
{
template cudaError_t launchGemm(__nv_bfloat16 const*, __nv_bfloat16 const*, __nv_bfloat16 const*, __nv_bfloat16*, int, int, int, Activation, cudaStream_t);
} // namespace tensorrt_llm::kernels
