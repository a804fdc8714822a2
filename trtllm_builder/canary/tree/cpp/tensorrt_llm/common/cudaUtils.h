#pragma once
#include <cuda_runtime_api.h>
#include <string>

namespace tensorrt_llm::common
{
// "cudaErrorNoDevice: no CUDA-capable device is detected": the name people search for, then the sentence.
std::string describe(cudaError_t error);
} // namespace tensorrt_llm::common
