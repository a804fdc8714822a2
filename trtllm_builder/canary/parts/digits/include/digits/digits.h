#pragma once
#include <string>

namespace digits
{
// A number as decimal text, with a sign when it is below zero.
inline std::string text(long number)
{
    return std::to_string(number);
}
} // namespace digits
