#pragma once

namespace words
{
inline constexpr char kTimes = '*';
inline constexpr char kPlus = '+';
} // namespace words
