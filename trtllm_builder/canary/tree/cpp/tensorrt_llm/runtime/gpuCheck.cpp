#include "tensorrt_llm/common/cudaUtils.h"
#include "tensorrt_llm/kernels/kernels.h"
#include "tensorrt_llm/runtime/runtime.h"

namespace tensorrt_llm::runtime
{
std::string squareOnGpu(int x)
{
    void* value = nullptr;
    cudaError_t error = cudaMalloc(&value, sizeof(int));
    if (error == cudaSuccess)
    {
        error = cudaMemcpy(value, &x, sizeof(int), cudaMemcpyHostToDevice);
    }
    if (error == cudaSuccess)
    {
        error = kernels::launchSquare(static_cast<int*>(value), 1, nullptr);
    }
    if (error == cudaSuccess)
    {
        error = cudaMemcpy(&x, value, sizeof(int), cudaMemcpyDeviceToHost);
    }
    cudaFree(value);
    return error == cudaSuccess ? std::to_string(x) : "error: " + common::describe(error);
}
} // namespace tensorrt_llm::runtime
