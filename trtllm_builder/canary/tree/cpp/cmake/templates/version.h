#pragma once
// Written by CMake from tensorrt_llm/version.py.
static char const* const kTensorRtLlmVersion = "@TRTLLM_VERSION@";
