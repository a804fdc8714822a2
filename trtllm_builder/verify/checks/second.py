"""Second opinions: what NVIDIA's cuobjdump and PyPA's auditwheel make of the same wheel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trtllm_builder.verify.checks import Check, judged, skipped
from trtllm_builder.verify.cuobjdump import SecondOpinion
from trtllm_builder.verify.library import Library

_TITLE = "cuobjdump lists the same GPU code"


def cuobjdump_check(
    opinions: Sequence[SecondOpinion], libraries: Sequence[Library], tool: Path | None, wanted: bool
) -> Check:
    """cuobjdump."""
    if not wanted:
        return skipped("cuobjdump", _TITLE, "not asked for", severity="info", remedy="Give --cross-check.")
    if not any(library.targets for library in libraries):
        return skipped("cuobjdump", _TITLE, "no library holds GPU code", severity="info")
    if tool is None:
        return skipped(
            "cuobjdump",
            _TITLE,
            "cuobjdump was not found",
            remedy="pip install nvidia-cuda-cuobjdump",
            severity="warning",
        )
    unusable = [opinion.unusable for opinion in opinions if opinion.unusable]
    problems = [opinion.difference for opinion in opinions if opinion.difference]
    if unusable and not problems:
        agreed = len(opinions) - len(unusable)
        told = "; ".join(
            [*dict.fromkeys(unusable), *((f"the same in {agreed} of {len(opinions)} libraries",) if agreed else ())]
        )
        return skipped(
            "cuobjdump", _TITLE, told, severity="warning", remedy="Our own reader's result stands alone there."
        )
    return judged(
        "cuobjdump",
        _TITLE,
        problems,
        seen=f"{len(opinions)} librar{'y' if len(opinions) == 1 else 'ies'}",
        remedy="Our reader and NVIDIA's tool disagree: please report it with this library.",
    )
