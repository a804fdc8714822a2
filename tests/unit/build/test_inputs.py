from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import trtllm_builder
from trtllm_builder.build import inputs, machine_inputs
from trtllm_builder.build.inputs import our_inputs, source_inputs
from trtllm_builder.build.machine_inputs import host_inputs, host_stamp, image_inputs
from trtllm_builder.build.requirement import Requirement
from trtllm_builder.errors import ProfileError
from trtllm_builder.patching.sets import load_set, set_dirs
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.lock import Lock

COMMIT, OTHER, OID = "1" * 40, "2" * 40, "3" * 64
FETCHED: dict[str, Any] = {
    "url": "https://me:secret@host/x.git", "commit": COMMIT, "ref": "main", "digest": f"sha256:{OID}",
    "uncommitted": {}, "served_by": "original",
    "served": [["https://host/x.git", "a"], ["https://host/x.git (LFS)", "a"], ["https://host/sub.git", "a"]],
    "submodules": [["3rdparty/sub", OTHER]], "lfs_objects": [["a.bin", OID]],
    "dependencies": [{"name": "json", "url": "https://host/json", "commit": OTHER, "served_by": "a", "ref": "v3"}],
    "archives": [{"name": "it", "url": "https://host/it.tar.gz", "sha256": OID, "size": 3}],
}  # fmt: skip


@pytest.mark.parametrize("uri", ["pkg:pypi/evil@1?file_name=a-1.whl", "pkg:pypi/a@9?file_name=a-1.whl", ""])
def test_all_that_is_known_early_is_named_at_once(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    """Another patch set, and a requirement of which a lock says two things; before anything is made."""
    monkeypatch.setattr(inputs, "host_inputs", lambda *_: ())
    own = inputs.sha256(load_set("single-device", set_dirs((), {})).digest)
    right = Requirement("a", "1", "a-1.whl", OID).to_input()

    def check(patch: dict[str, str], requirement: Input) -> None:
        locked = Lock("mine", {}, 1, (*our_inputs(), Input("patch", "single-device", "", patch), requirement))
        profile = SimpleNamespace(patches=("single-device",))
        request = SimpleNamespace(locked=locked, environ={}, loaded=SimpleNamespace(profile=profile))
        plan = SimpleNamespace(python=SimpleNamespace(value="python"), python_version="3.11")
        run: Any = SimpleNamespace(material=SimpleNamespace(request=request), plan=plan, environment={})
        inputs.check_early(run, tools=False)

    check(own, right)
    with pytest.raises(ProfileError) as error:
        check({"sha256": OTHER}, replace(right, uri=uri))
    assert "patch single-device: " in error.value.what and "requirement a: " in error.value.what
    assert (uri or "no address") in error.value.what


def test_sources_by_commit_and_object_and_without_credentials() -> None:
    found = {one.kind: one for one in source_inputs(FETCHED)}
    assert found["source"].uri == f"git+https://***@host/x.git@{COMMIT}" and found["source"].digest == {
        "gitCommit": COMMIT
    }
    assert found["submodule"].uri == f"git+https://host/sub.git@{OTHER}"
    assert found["lfs"].digest == {"sha256": OID} and found["dependency"].version == "v3"
    assert found["download"] == Input("download", "it", "https://host/it.tar.gz", {"sha256": OID}, 3)


def test_a_directory_is_known_by_what_it_holds_and_not_by_its_place() -> None:
    place = {**FETCHED, "url": "/home/me/x", "served_by": "directory"}
    clean, edited, bare = (
        next(source_inputs({**place, **more}))
        for more in ({}, {"uncommitted": {"setup.py": OID}}, {"commit": ""})
    )  # fmt: skip
    assert clean.uri == edited.uri == bare.uri == ""
    assert clean.digest == {"gitCommit": COMMIT}
    assert edited.digest == {"gitCommit": COMMIT, "sha256": OID} and bare.digest == {"sha256": OID}


def test_an_image_is_known_where_somebody_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".containerenv"
    monkeypatch.setattr(machine_inputs, "_CONTAINER", file)
    assert image_inputs({}) == ()
    assert image_inputs({"CI_JOB_IMAGE": "debian:12"}) == ()
    (named,) = image_inputs({"CI_JOB_IMAGE": f"host/cuda@sha256:{OID}"})
    assert (named.uri, named.digest, named.version) == ("host/cuda", {"sha256": OID}, "CI_JOB_IMAGE")
    file.write_text(f'engine="podman-4.3.1"\nimageid="{OID}"\nrootless=0\n')
    (podman,) = image_inputs({})
    assert podman.digest == {"sha256": OID} and podman.version == "podman"
    file.write_text("")
    assert image_inputs({}) == ()


def test_compilers_are_known_by_their_bytes_and_noticed_without_reading_them(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    part = programs / "cc1plus"
    part.write_text("the compiler itself")
    gcc = programs / "g++"
    answers = f'-dump*) echo 12.2.0;; *cc1plus) echo {part};; *=as) echo as;; *) echo "${{1#*=}}"'
    gcc.write_text(f"#!/bin/sh\ncase $1 in {answers};; esac\n")
    gcc.chmod(0o755)
    python = tmp_path / "python"
    python.write_text("python")
    environ = {"PATH": f"{programs}:/nowhere"}
    found = {one.name: one for one in host_inputs(environ, python, "3.11.7")}
    assert set(found) == {"python", "pip", "setuptools", "g++", "cc1plus"}
    assert {found[name].kind for name in ("pip", "setuptools")} == {"python"}
    assert found["g++"].version == "12.2.0" and found["cc1plus"].size == 19
    before = host_stamp(environ, python)
    part.write_text("another")
    assert host_stamp(environ, python) != before
    assert {one.name: one for one in host_inputs(environ, python, "3.11.7")}["cc1plus"].digest != found[
        "cc1plus"
    ].digest


def test_headers_are_known_by_what_they_hold_and_not_by_their_place(tmp_path: Path) -> None:
    places = [tmp_path / "one", tmp_path / "an other"]
    for place in places:
        place.mkdir()
        (place / "vector").write_text("template")
        (place / "stdio.h").write_text("int puts();")
        rule = f"-: {place}/vector \\\n {place}/stdio.h \\\n /nowhere/x.h\n".replace("an other", "an\\ other")
        (place / "rule").write_text(rule)
        gcc = place / "g++"
        gcc.write_text(f'#!/bin/sh\ncase "$*" in *-M*) cat "{place}/rule";; -dump*) echo 12.2.0;; esac\n')
        gcc.chmod(0o755)
    python = tmp_path / "python"
    python.write_text("python")

    def headers(place: Path) -> Any:
        environ = {"PATH": f"{place}:/usr/bin:/bin"}
        return {one.name: one for one in host_inputs(environ, python, "3.11.7")}["headers"], host_stamp(environ, python)

    (first, stamp), (second, _) = map(headers, places)
    assert first == second and first.digest == second.digest and first.version == "2 files"
    (places[0] / "stdio.h").write_text("int puts(int);")
    changed, again = headers(places[0])
    assert changed.digest != first.digest and again != stamp


def test_the_compiler_of_this_machine_says_which_headers_it_reads() -> None:
    named = {path.name for path in machine_inputs._headers(Path("/usr/bin/g++"), {"PATH": "/usr/bin:/bin"})}
    assert {"vector", "c++config.h", "stdio.h", "features.h", "types.h", "stddef.h", "mman.h"} <= named


def test_headers_of_the_interpreter_are_its_own(tmp_path: Path) -> None:
    include, config = tmp_path / "include", tmp_path / "multiarch" / "pyconfig.h"
    for path in (include / "Python.h", include / "cpython" / "object.h", include / "internal" / "a" / "b.h", config):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{include}'\necho '{config}'\n")
    python.chmod(0o755)

    def headers() -> Any:
        found = {one.name: one for one in host_inputs({"PATH": "/nowhere"}, python, "3.11.7")}
        return found["headers"], host_stamp({"PATH": "/nowhere"}, python)

    first, stamp = headers()
    assert (first.kind, first.version) == ("python", "4 files")
    # Another package's, which some Pythons have beside their own.
    (include / "greenlet").mkdir()
    (include / "greenlet" / "greenlet.h").write_text("")
    assert headers() == (first, stamp)
    config.write_text("#define Py_DEBUG 1")
    changed, again = headers()
    assert changed.digest != first.digest and again != stamp


@pytest.mark.parametrize(
    ("values", "declared", "names"),
    [
        ({"ENABLE_MULTI_DEVICE": "0", "ENABLE_UCX": "OFF"}, ("ENABLE_MULTI_DEVICE", "ENABLE_UCX"), set()),
        ({"ENABLE_MULTI_DEVICE": "1"}, ("ENABLE_MULTI_DEVICE",), {"MPI headers", "NCCL headers"}),
        ({"ENABLE_MULTI_DEVICE": "0"}, ("ENABLE_MULTI_DEVICE", "ENABLE_UCX"), {"ZeroMQ headers"}),
        ({}, (), set()),
    ],
)
def test_headers_of_packages_count_where_options_have_them_compiled_in(
    tmp_path: Path, values: dict[str, str], declared: tuple[str, ...], names: set[str]
) -> None:
    programs = tmp_path / "bin"
    (tmp_path / "mpi").mkdir()
    programs.mkdir()
    for name in ("own.h", "nccl.h", "zmq.h", "mpi/mpi.h"):
        (tmp_path / name).write_text(name)
    # MPI's are found where its wrapper says alone.
    asks = f'text=$(cat); echo "-: {tmp_path}/own.h \\\\"; for one in nccl zmq; do case "$text" in *$one.h*) '
    asks += f'echo "{tmp_path}/$one.h \\\\";; esac; done; case "$*$text" in *-I{tmp_path}/mpi*mpi.h*) '
    asks += f'echo "{tmp_path}/mpi/mpi.h \\\\";; esac; echo'
    for program, script in (("g++", asks), ("mpicxx", f"echo g++ -I{tmp_path}/mpi -L/lib -lmpi")):
        (programs / program).write_text(f"#!/bin/sh\n{script}\n")
        (programs / program).chmod(0o755)
    run: Any = SimpleNamespace(
        environment={"PATH": f"{programs}:/usr/bin:/bin"},
        plan=SimpleNamespace(switches=[SimpleNamespace(name=name, value=value) for name, value in values.items()]),
        material=SimpleNamespace(probe=SimpleNamespace(options=[SimpleNamespace(name=name) for name in declared])),
    )
    found = list(machine_inputs.package_inputs(run))
    assert {one.name for one in found} == names and {one.kind for one in found} <= {"package"}
    assert {one.version for one in found} <= {"1 files"} and len(machine_inputs.package_stamp(run)) == len(names)


def test_two_checkouts_of_one_version_are_two_builders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.patch").write_text("a")
    monkeypatch.setattr(trtllm_builder, "__file__", str(tmp_path / "__init__.py"))
    first = our_inputs.__wrapped__()[0]
    (tmp_path / "__pycache__" / "x.pyc").write_text("what Python made of it")
    (tmp_path / "data" / "a.patch").chmod(0o755)
    assert our_inputs.__wrapped__()[0].digest == first.digest
    (tmp_path / "data" / "a.patch").write_text("b")
    second = our_inputs.__wrapped__()[0]
    assert second.version == first.version and second.digest != first.digest
