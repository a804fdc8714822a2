"""Check of what METADATA requires from the index."""

from __future__ import annotations

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from trtllm_builder.binary.wheel import Wheel
from trtllm_builder.verify.checks import Check, judged
from trtllm_builder.verify.expect import Expectation

_MALFORMED = "Installers refuse or ignore a line of METADATA that is no requirement: correct it and build again."
_FORBIDDEN = (
    "mpi4py must be compiled against an MPI that such a container has not. Take the line out of requirements.txt "
    "before packaging (the single-device patches do)."
)


def requirement_check(wheel: Wheel, expectation: Expectation) -> Check:
    """requires-dist: no forbidden requirement. NCCL as torch's own dependency is only mentioned."""
    problems, mentioned, remedies = [], [], []
    for text in wheel.header("Requires-Dist"):
        try:
            name = canonicalize_name(Requirement(text).name)
        except InvalidRequirement:
            problems.append(f"not a requirement: {text}")
            remedies.append(_MALFORMED)
            continue
        if name in expectation.forbidden_requirements:
            problems.append(f"requires {text}")
            remedies.append(_FORBIDDEN)
        elif name.startswith(("nvidia-nccl", "nvidia-nvshmem")):
            mentioned.append(f"requires {text} (PyTorch does too)")
    return judged(
        "requires-dist",
        "nothing forbidden is required from the index",
        problems,
        severity="error" if expectation.single_device else "warning",
        seen=mentioned or f"{len(wheel.header('Requires-Dist'))} requirements",
        remedy=" ".join(dict.fromkeys(remedies)),
    )
