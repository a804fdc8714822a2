#include "tensorrt_llm/executor/executor.h"

extern "C" char const* th_common_version()
{
    return tensorrt_llm::executor::version();
}
