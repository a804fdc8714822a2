#include "tensorrt_llm/executor/executor.h"

#include <gtest/gtest.h>
#include <stdexcept>

TEST(Answer, Arithmetic)
{
    EXPECT_EQ(tensorrt_llm::executor::answer("6 * 7"), "42");
    EXPECT_EQ(tensorrt_llm::executor::answer("40 + 2"), "42");
    EXPECT_THROW(tensorrt_llm::executor::answer("6 / 7"), std::invalid_argument);
}
