#pragma once
#include <string>

namespace tensorrt_llm::runtime
{
// Joins the MPI world (waiting for its process manager) when built with multi device; nothing otherwise.
void initialiseMpi();

// The square of x, computed on the first GPU; "error: ..." when there is no driver, no device or no fitting code.
std::string squareOnGpu(int x);
} // namespace tensorrt_llm::runtime
