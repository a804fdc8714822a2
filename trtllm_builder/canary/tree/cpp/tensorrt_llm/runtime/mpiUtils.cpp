#include "tensorrt_llm/runtime/runtime.h"

#include <stdexcept>

#if ENABLE_MULTI_DEVICE
#include <mpi.h>
#endif

namespace tensorrt_llm::runtime
{
void initialiseMpi()
{
#if ENABLE_MULTI_DEVICE
    int provided = 0;
    if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided) != 0)
    {
        throw std::runtime_error("MPI_Init_thread failed");
    }
#endif
}
} // namespace tensorrt_llm::runtime
