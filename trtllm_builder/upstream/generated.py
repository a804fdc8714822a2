"""What upstream's build writes into its own source tree."""

from __future__ import annotations

import re

from trtllm_builder.upstream.model import Probe

# generate_fmha_cu of scripts/build_wheel.py writes here, the same place in every release that has it (0.20 to 2026).
_BY_TRAP = {
    "unstamped-generated-tree": ("cpp/tensorrt_llm/kernels/contextFusedMultiHeadAttention/fmha_v2_cu",),
}


def generated_trees(probe: Probe) -> tuple[str, ...]:
    """Paths relative to the checkout that may be half-written after an interruption without upstream noticing."""
    return tuple(path for trap in probe.traps for path in _BY_TRAP.get(trap.id, ()))


# Packaging fills these and the generators those; no release's .gitignore names them all.
_PRODUCTS = re.compile(
    r"(?:build|cpp/build[^/]*|[^/]*\.egg-info|tensorrt_llm/(?:libs|include|bin|bindings|deep_ep|deep_gemm|flash_mla))/.*"
    r"|3rdparty/fmha_sm100/.*"
    r"|cpp/kernels/fmha_v2/(?:generated|temp|obj|bin)/.*"
    r"|cpp/tensorrt_llm/kernels/contextFusedMultiHeadAttention/fmha_v2_cu/.*"
    r"|cpp/include/tensorrt_llm/executor/version\.h"
    r"|(?:.*/)?__pycache__/.*|tensorrt_llm/.*\.(?:so|pyi)|(?:.*/)?compile_commands\.json"
)


def is_product(path: str) -> bool:
    """Whether upstream's build makes a file at ``path``, relative to the checkout; of one that came with the source
    git knows more."""
    return _PRODUCTS.fullmatch(path) is not None
