#include "tensorrt_llm/common/cudaUtils.h"

namespace tensorrt_llm::common
{
std::string describe(cudaError_t error)
{
    return std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error);
}
} // namespace tensorrt_llm::common
