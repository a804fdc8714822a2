"""``verify`` and ``compare`` on what real compilers make, with a real plan and a real auditwheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.verify.audit import audit
from trtllm_builder.verify.auditwheel import find_auditwheel
from trtllm_builder.verify.compare import compare
from trtllm_builder.verify.compare_text import comparison_lines, summary
from trtllm_builder.verify.expect import Expectation

pytestmark = pytest.mark.integration
LIB = "tensorrt_llm/libs/libtensorrt_llm.so"
KERNELS = """
template <int N> __global__ void scale(float *x) {{ x[threadIdx.x] *= N + {changed}; }}
__global__ void shift(float *x) {{ x[threadIdx.x] += 1; }}
extern "C" void launch(float *x) {{ scale<2><<<1, 32>>>(x); shift<<<1, 32>>>(x); }}
"""
OTHER = """
__global__ void other(float *x) { x[threadIdx.x] -= 1; }
extern "C" void launch_other(float *x) { other<<<1, 32>>>(x); }
"""


@pytest.fixture
def library(toolchain: Any, tmp_path: Path) -> Callable[[str], bytes]:
    def build(changed: str) -> bytes:
        (tmp_path / "one.cu").write_text(KERNELS.format(changed=changed))
        (tmp_path / "two.cu").write_text(OTHER)
        codes = [f"-gencode=arch=compute_{sm},code=sm_{sm}" for sm in (80, 89)]
        subprocess.run(
            [toolchain.toolkit.nvcc, "--objdir-as-tempdir", "-Xcompiler", "-fPIC", "-shared", "-cudart", "none", *codes,
             "-Xlinker", "--unresolved-symbols=ignore-all", "-o", "lib.so", "one.cu", "two.cu"],
            cwd=tmp_path, env=toolchain.environment(tmp_path), check=True,
        )  # fmt: skip
        return (tmp_path / "lib.so").read_bytes()

    return build


def test_one_recompiled_kernel_is_named_and_nothing_else(
    library: Callable[[str], bytes], make_wheel: Callable[..., Path], tmp_path: Path
) -> None:
    place = tmp_path / "first"
    place.mkdir()
    first = make_wheel({LIB: library("1")})
    first = first.rename(place / first.name)
    found = compare(first, make_wheel({LIB: library("7")}))
    (change,) = [one.library for one in found.members if one.library]
    assert [(code.target, code.kind, code.count_a, code.count_b) for code in change.code] == [
        ("sm_80", "cubin", 1, 1),
        ("sm_89", "cubin", 1, 1),
    ]
    # Both kernels of one source stand in one piece of GPU code; the other source's did not change.
    assert {name for code in change.code for name in code.kernels} == {"_Z5scaleILi2EEvPf", "_Z5shiftPf"}
    assert not any(change.sets().values())
    assert "All comes from" in summary(found) and "(kernels scale<...>, shift)" in summary(found)
    assert any("recompiled" in line for line in comparison_lines(found))


@pytest.mark.skipif(find_auditwheel(os.environ) is None, reason="auditwheel is not installed")
def test_auditwheel_agrees(make_wheel: Callable[..., Path], make_library: Callable[..., bytes]) -> None:
    source = '#include <stdio.h>\n#include <math.h>\nint f(double x) { return printf("%f", pow(x, x)); }'
    wheel = make_wheel({LIB: make_library(source=source, options=("-lm",))}, tag="cp311-cp311-linux_x86_64")
    found = audit(wheel, Expectation(), auditwheel=find_auditwheel(os.environ), environ=os.environ)
    opinion = next(check for check in found.checks if check.id == "auditwheel")
    assert opinion.status == "passed", opinion
    assert "by symbols it is manylinux_2_" in str(opinion.evidence[0])


def test_a_profile_and_a_page(
    make_wheel: Callable[..., Path], tmp_path: Path, validate: Callable[[str, object], None]
) -> None:
    """The profile's architectures as upstream maps them, its Python, and its single device."""
    page = tmp_path / "page.html"
    done = subprocess.run(
        [sys.executable, "-m", "trtllm_builder", "verify", make_wheel(version="1.0"), "--profile", "autodl-4090",
         "--json", "--html", page],
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    document = json.loads(done.stdout)
    validate("report", document)
    failed = {check["id"]: check for check in document["checks"] if check["level"] == "fail"}
    assert {"gpu-targets", "python-tag"} <= failed.keys()
    assert "sm_86" in document["held_to"] and document["held_to"].startswith("the profile autodl-4090")
    assert "autodl-4090" in page.read_text(encoding="utf-8")
