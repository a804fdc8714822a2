#include "tensorrt_llm/executor/executor.h"
#include "tensorrt_llm/executor/version.h"

#include "digits/digits.h"
#include "words/signs.h"

#include <sstream>
#include <stdexcept>

namespace tensorrt_llm::executor
{
namespace
{
constexpr long kKnown = 16;
constexpr long kProducts[] = {
#include "products.inc"
};
static_assert(sizeof(kProducts) / sizeof(*kProducts) == kKnown * kKnown, "products.inc is not whole");

long product(long left, long right)
{
    bool const known = left >= 0 && left < kKnown && right >= 0 && right < kKnown;
    return known ? kProducts[left * kKnown + right] : left * right;
}
} // namespace

std::string answer(std::string const& prompt)
{
    std::istringstream stream(prompt);
    long left = 0;
    long right = 0;
    char sign = 0;
    std::string rest;
    if (!(stream >> left >> sign >> right) || (stream >> rest) || (sign != words::kTimes && sign != words::kPlus))
    {
        throw std::invalid_argument("the canary answers only 'A * B' and 'A + B', not '" + prompt + "'");
    }
    return digits::text(sign == words::kTimes ? product(left, right) : left + right);
}

char const* version()
{
    return kTensorRtLlmVersion;
}
} // namespace tensorrt_llm::executor
