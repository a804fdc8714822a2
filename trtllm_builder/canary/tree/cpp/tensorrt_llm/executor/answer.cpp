#include "tensorrt_llm/executor/executor.h"
#include "tensorrt_llm/executor/version.h"

#include <sstream>
#include <stdexcept>

namespace tensorrt_llm::executor
{
std::string answer(std::string const& prompt)
{
    std::istringstream words(prompt);
    long left = 0;
    long right = 0;
    char sign = 0;
    std::string rest;
    if (!(words >> left >> sign >> right) || (words >> rest) || (sign != '*' && sign != '+'))
    {
        throw std::invalid_argument("the canary answers only 'A * B' and 'A + B', not '" + prompt + "'");
    }
    return std::to_string(sign == '*' ? left * right : left + right);
}

char const* version()
{
    return kTensorRtLlmVersion;
}
} // namespace tensorrt_llm::executor
