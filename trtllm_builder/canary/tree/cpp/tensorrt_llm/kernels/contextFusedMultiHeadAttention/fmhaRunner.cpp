#include "fmhaRunner.h"

// Null for a head size that no generated kernel serves.
FmhaLauncher findFmha(int headSize)
{
    switch (headSize)
    {
    case 32: return run_fmha_v2_S_32;
    case 64: return run_fmha_v2_S_64;
    case 128: return run_fmha_v2_S_128;
    default: return nullptr;
    }
}
