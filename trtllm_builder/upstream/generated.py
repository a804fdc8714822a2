"""Directories that upstream generates into its own source tree and then trusts because they exist."""

from __future__ import annotations

from trtllm_builder.upstream.model import Probe

# generate_fmha_cu of scripts/build_wheel.py writes here, the same place in every release that has it (0.20 to 2026).
_BY_TRAP = {
    "unstamped-generated-tree": ("cpp/tensorrt_llm/kernels/contextFusedMultiHeadAttention/fmha_v2_cu",),
}


def generated_trees(probe: Probe) -> tuple[str, ...]:
    """Paths relative to the checkout that may be half-written after an interruption without upstream noticing."""
    return tuple(path for trap in probe.traps for path in _BY_TRAP.get(trap.id, ()))
