"""Every check of what stands in the wheel; those of the smoke test are in ``verify/verdict.py``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from trtllm_builder.attest.keys import PublicKey
from trtllm_builder.binary.wheel import Wheel
from trtllm_builder.verify.auditwheel import Opinion, auditwheel_check
from trtllm_builder.verify.checks import Check
from trtllm_builder.verify.checks.archive import archive_checks
from trtllm_builder.verify.checks.beside import build_record_check
from trtllm_builder.verify.checks.imports import import_check
from trtllm_builder.verify.checks.links import link_checks
from trtllm_builder.verify.checks.lock import lock_check
from trtllm_builder.verify.checks.names import name_checks
from trtllm_builder.verify.checks.needed import needed_check
from trtllm_builder.verify.checks.provenance import provenance_checks
from trtllm_builder.verify.checks.requirements import requirement_check
from trtllm_builder.verify.checks.sbom import sbom_check
from trtllm_builder.verify.checks.second import cuobjdump_check
from trtllm_builder.verify.checks.symbols import symbol_check
from trtllm_builder.verify.checks.targets import target_checks
from trtllm_builder.verify.checks.torch import torch_check
from trtllm_builder.verify.cuobjdump import SecondOpinion
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import Library


def static_checks(
    wheel: Wheel,
    libraries: Sequence[Library],
    expectation: Expectation,
    *,
    opinions: Sequence[SecondOpinion] = (),
    cuobjdump: Path | None = None,
    cross_check: bool = False,
    auditwheel: Opinion | None = None,
    trusted: Sequence[PublicKey] = (),
    beside: bool = True,
) -> tuple[Check, ...]:
    """A function of the facts that one pass over the wheel gathered and, with ``beside``, of what lies beside it."""
    return (
        *archive_checks(wheel, expectation),
        *name_checks(wheel, expectation),
        *target_checks(libraries, expectation),
        cuobjdump_check(opinions, libraries, cuobjdump, cross_check),
        *link_checks(libraries, expectation),
        needed_check(wheel, libraries, expectation),
        symbol_check(wheel, libraries, expectation),
        auditwheel_check(auditwheel, libraries),
        torch_check(wheel, libraries, expectation),
        requirement_check(wheel, expectation),
        import_check(wheel, libraries, expectation),
        sbom_check(wheel),
        *(_beside(wheel, trusted) if beside else ()),
    )


def _beside(wheel: Wheel, trusted: Sequence[PublicKey]) -> Iterator[Check]:
    yield build_record_check(wheel.path, wheel.sha256)
    yield lock_check(wheel.path, wheel.sha256)
    yield from provenance_checks(wheel.path, wheel.sha256, trusted)
