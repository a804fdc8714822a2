"""What a wheel asks of a machine, in words and as facts."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.tags import parse_tag

from trtllm_builder.binary.elf import Symbol
from trtllm_builder.binary.wheel import Wheel
from trtllm_builder.verify.audit import Audit
from trtllm_builder.verify.library import Library, Target
from trtllm_builder.verify.needs import Needs, needs_of


def needs(*libraries: Library, tag: str = "cp311-cp311-linux_x86_64", requires: str = "") -> Needs:
    headers = (("Version", "1"), *((("Requires-Dist", requires),) if requires else ()))
    wheel = Wheel(Path("x.whl"), 1, "", "x", "1", "", frozenset(parse_tag(tag)), headers, (), (), {}, ())
    return needs_of(Audit(wheel, libraries, ()))


@pytest.mark.parametrize(
    ("tag", "python", "platforms"),
    [
        ("cp311-cp311-linux_x86_64", "CPython 3.11", ("Linux x86_64",)),
        ("cp310-abi3-manylinux2014_x86_64", "CPython 3.10 and later", ("Linux x86_64",)),
        ("cp313-cp313t-manylinux_2_28_aarch64", "CPython 3.13 free-threaded", ("Linux aarch64",)),
        ("py3-none-any", "any Python 3", ()),
        ("py2.py3-none-win_amd64", "any Python 2, any Python 3", ("win_amd64",)),
    ],
)
def test_tags_in_words(tag: str, python: str, platforms: tuple[str, ...]) -> None:
    found = needs(tag=tag)
    assert (found.python, found.platforms) == (python, platforms)


def test_what_libraries_ask_for() -> None:
    code = (Target("sm_90a", "cubin", True, False, 1, 1), Target("compute_90", "ptx", True, False, 1, 1))
    found = needs(
        Library("a/one.so", 1, needed=("libcudart.so.12", "libmpi.so.40"), forbidden_libraries=("libmpi.so.40",)),
        Library("a/two.so", 1, targets=code, needed_versions=(("libc.so.6", "GLIBC_2.34"),)),
        Library("a/three.so", 1, undefined=(Symbol("_ZN2at1fERKNSt7__cxx1112basic_stringIcE"),)),
        requires="torch==2.9.0",
    )
    assert (found.cuda, found.driver) == ((12,), "525.60.13")
    assert (found.glibc, found.glibc_by) == ("2.34", "a/two.so")
    assert (found.gpus, found.ptx) == (("sm_90a",), ("compute_90",))
    assert (found.torch, found.torch_abi, found.communication) == ("torch==2.9.0", "new", ("libmpi.so.40",))
    rows = dict(found.rows())
    assert rows["platform"] == "Linux x86_64, glibc 2.34 or newer (two.so)"
    assert rows["GPUs"] == "sm_90a; PTX of 90" and rows["CUDA"] == "12 (driver 525.60.13 or newer)"
    assert rows["PyTorch"] == "torch==2.9.0 (C++ ABI of 2.6 and later)" and rows["network"] == "libmpi.so.40"


def test_a_static_runtime_shows_by_its_compiler_only() -> None:
    found = needs(Library("a/one.so", 1, cuda=(13, 0)), Library("a/two.so", 1))
    assert (found.cuda, found.driver) == ((13,), "580.65.06")
    linked = needs(Library("a/one.so", 1, cuda=(13, 0), needed=("libcudart.so.12",)))
    assert linked.cuda == (12,)


def test_what_is_not_asked_for_is_left_out() -> None:
    assert dict(needs(tag="py3-none-any").rows()) == {"Python": "any Python 3", "platform": "any platform"}
