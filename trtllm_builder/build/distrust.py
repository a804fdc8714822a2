"""What a compile stage must not trust of what lies there: half-written at a kill, on a full disk, when the machine went
down. Everything else stays, so that nothing finished is compiled again.
"""

from __future__ import annotations

import json
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

from trtllm_builder.build.populated import distrust_populated
from trtllm_builder.build.run import Run
from trtllm_builder.source.edits import tree_identity
from trtllm_builder.upstream.generated import generated_trees

# A line of CMakeCache.txt: comment, ``NAME:TYPE=VALUE``, or nothing (manual cmake(1), "CMake Cache").
_CACHE_LINE = re.compile(r'#.*|//.*|("[^"]+"|[^":=#/][^":=]*):[A-Z]+=.*|\s*')
# Among the last that CMake writes, for every cache that took a whole run.
_CACHE_NEEDS = ("CMAKE_GENERATOR:INTERNAL=", "CMAKE_HOME_DIRECTORY:INTERNAL=")
_HOME = re.compile(r"^CMAKE_HOME_DIRECTORY:INTERNAL=(/.*)$", re.MULTILINE)
_CONFIGURED_IN = re.compile(r"\d+\.\d+.*")
# What ninja has made, and of what (kFileSignature in its build_log.cc and deps_log.cc). A tail that was cut ninja puts
# right by itself; with another beginning CMake cannot end configuring, since it has ninja tidy them up.
_NINJA_FILES = ((".ninja_log", b"# ninja log v"), (".ninja_deps", b"# ninjadeps\n"))
_RULES = ("build.ninja", "Makefile")
_LANGUAGE = re.compile(r"^CMake|Compiler\.cmake$")
_BINARIES = (".o", ".so", ".a")


def distrust(run: Run) -> None:
    """Take away what upstream, CMake and ninja or make would trust without looking."""
    _distrust_generated(run)
    _distrust_toolchain(run)
    build = run.workspace.build
    if (place := moved_from(build, run.workspace.source)) is not None:
        run.observer.note(
            f"{build} was configured for {place}, from where the workspace was moved: it is made anew, and the compile "
            "cache serves what was compiled"
        )
        shutil.rmtree(build)
    distrust_populated(run)
    if is_cache_broken(build):
        run.observer.note("CMakeCache.txt was cut short; CMake starts without it, and what is compiled stays")
    if is_cache_broken(build) or is_half_configured(build):
        forget_configuration(build)
    for name, signature in _NINJA_FILES:
        path = build / name
        if path.is_file() and not path.read_bytes().startswith(signature):
            run.observer.note(f"{name} is damaged: what ninja knew is lost, and it compiles again")
            path.unlink()
    for path in list(broken_binaries(build)):
        run.observer.note(f"{path.relative_to(build)} was cut short; it is made again")
        path.unlink()
    # setuptools takes whatever copy an attempt before left half-written.
    for pattern in ("build/lib*", "build/bdist.*"):
        for leftover in run.workspace.source.glob(pattern):
            if leftover.is_dir() and not leftover.is_symlink():
                shutil.rmtree(leftover)


def _distrust_generated(run: Run) -> None:
    """Delete generated trees that an interrupted run may have left half-written: upstream trusts what is there.

    They are whole once a build got past configuring with the same source, which the journal then says.
    """
    tree = tree_identity(run.workspace.source)
    if any(event["event"] == "generated" and event.get("tree") == tree for event in run.journal.events()):
        return
    root = run.workspace.source.resolve()
    for directory in generated_trees(run.material.probe):
        path = (root / directory).resolve()
        if path.is_dir() and path.is_relative_to(root) and path != root:
            shutil.rmtree(path)


def _distrust_toolchain(run: Run) -> None:
    """CMake keeps the compilers it once found."""
    marker = run.workspace.configured_with
    tools = json.dumps([run.plan.toolkit.value, run.plan.python.value, run.plan.python_version])
    if run.workspace.build.exists() and not (marker.is_file() and marker.read_text() == tools):
        shutil.rmtree(run.workspace.build)
    marker.write_text(tools)


def moved_from(build: Path, source: Path) -> str | None:
    """The checkout that CMake was told of, when it is another than ``source``: it compiles in no other place."""
    try:
        text = (build / "CMakeCache.txt").read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return None
    found = _HOME.search(text)
    if found is None or Path(found[1]).resolve().is_relative_to(source.resolve()):
        return None
    return found[1]


def is_cache_broken(build: Path) -> bool:
    """Whether CMakeCache.txt is there and not whole: CMake ends with an error at the line that was cut."""
    try:
        text = (build / "CMakeCache.txt").read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return False
    whole = text.endswith("\n") and all(_CACHE_LINE.fullmatch(line) for line in text.splitlines())
    return not whole or not all(needed in text for needed in _CACHE_NEEDS)


def is_unconfigured(build: Path) -> bool:
    """Whether a build directory that has something in it can no longer be built in as it is."""
    if not build.is_dir() or not any(build.iterdir()):
        return False
    rules = any((build / name).is_file() for name in ("build.ninja", "Makefile"))
    return is_cache_broken(build) or not rules or not (build / "CMakeCache.txt").is_file()


def is_half_configured(build: Path) -> bool:
    """Whether CMake never came to its end there, or a compiler was killed while CMake tried it.

    What it wrote of a compiler that it could not try it believes the next time: a CUDA compiler without its library
    directories, for one, which fails hours later, when libraries are linked.
    """
    if not (build / "CMakeCache.txt").is_file() or not any((build / name).is_file() for name in _RULES):
        return True
    compilers = (build / "CMakeFiles").glob("[0-9]*/CMake*Compiler.cmake")
    tried = (path.with_name(f"CMakeDetermineCompilerABI_{_LANGUAGE.sub('', path.name)}.bin") for path in compilers)
    return not all(path.is_file() for path in tried)


def forget_configuration(build: Path) -> None:
    """Take away what CMake found out about this machine; objects, and ninja's knowledge of them, stay."""
    (build / "CMakeCache.txt").unlink(missing_ok=True)
    for directory in (build / "CMakeFiles").glob("*"):
        if directory.is_dir() and _CONFIGURED_IN.fullmatch(directory.name):
            shutil.rmtree(directory)


def broken_binaries(build: Path) -> Iterator[Path]:
    """Objects and libraries that cannot be whole: empty, beginning with zeros, or ELF files whose table of sections
    (elf(5), e_shoff) lies behind their end. make takes them by their time alone, ninja after a crash of the machine."""
    for path in build.rglob("*"):
        if path.suffix in _BINARIES and path.is_file() and not path.is_symlink():
            size = path.stat().st_size
            with path.open("rb") as stream:
                head = stream.read(64)
            if size == 0 or head[:4] == bytes(4) or (head[:4] == b"\x7fELF" and not _is_whole(head, size)):
                yield path


def _is_whole(head: bytes, size: int) -> bool:
    if len(head) < 64 or head[4:6] != b"\x02\x01":
        # Neither 64 bits nor little endian is none of ours: whoever made it may know.
        return len(head) == 64
    table: int = struct.unpack_from("<Q", head, 40)[0]
    entry_size, entries = struct.unpack_from("<HH", head, 58)
    return table > 0 and table + int(entry_size) * int(entries) <= size
