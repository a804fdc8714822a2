"""TensorRT: headers and libraries that the profile names, that this machine has, or from a handed-over archive."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.data import data_dir as default_data_dir
from trtllm_builder.errors import HostError
from trtllm_builder.tools.advice import Advice, advise_tensorrt
from trtllm_builder.tools.ranges import parse_range
from trtllm_builder.tools.store import Log, read_entry
from trtllm_builder.tools.unpack import entry_directory, unpack_tensorrt, unpacked_roots

_HEADER = "NvInferVersion.h"
_USUAL = (Path("/usr/local/tensorrt"), Path("/opt/tensorrt"), Path("/usr"))
_NOTHING = f"there is no include/{_HEADER}"
_REMEDY = (
    f"name a directory with include/{_HEADER} and lib/libnvinfer.so in tensorrt.root, "
    "or hand over NVIDIA's tar archive in tensorrt.archive"
)


@dataclass(frozen=True)
class TensorRT:
    """``root`` is what upstream's ``--trt_root`` gets; ``origin`` says where it was found."""

    root: Path
    include: Path
    library: Path
    version: str
    origin: str


@dataclass(frozen=True)
class TensorRTChoice:
    """``origin``: ``machine``, ``archive`` (handed over), ``none`` (not wanted) or ``absent``; then ``advice`` helps.

    ``tensorrt`` is None while an archive is still to be unpacked.
    """

    origin: str
    tensorrt: TensorRT | None
    reason: str
    advice: Advice | None = None

    def to_json(self) -> dict[str, object]:
        return {
            "origin": self.origin,
            "version": self.tensorrt.version if self.tensorrt else None,
            "root": str(self.tensorrt.root) if self.tensorrt else None,
            "reason": self.reason,
            "advice": self.advice.to_json() if self.advice else None,
        }


def choose_tensorrt(
    root: str,
    specifier: str | None,
    environ: Mapping[str, str],
    *,
    archive: str | None = None,
    cuda: str | None = None,
    data_dir: Path | None = None,
) -> TensorRTChoice:
    """The TensorRT of a build; no network, no writing. ``cuda`` (``12.9``) only makes the advice exact.

    ``auto`` looks at TENSORRT_ROOT and TRT_ROOT, earlier unpackings and the usual places. Raises HostError for a root
    or an archive that someone named and that is not fit.
    """
    data = data_dir or default_data_dir(environ)
    if root == "none":
        return TensorRTChoice("none", None, "the profile says that none is needed")
    if root != "auto":
        found = _fit(judge_tensorrt(Path(root), "tensorrt.root", specifier), root)
        return TensorRTChoice("machine", found, f"{root}, as the profile says")
    if archive is not None:
        entry = read_entry(entry_directory("tensorrt", Path(archive), data))
        judged = judge_tensorrt(entry.path / entry.facts["root"], "archive", specifier) if entry else None
        return TensorRTChoice("archive", _fit(judged, archive) if judged else None, f"{archive}, handed over")
    passed_over = ""
    for place, origin in _places(environ, data):
        found_or_why = judge_tensorrt(place, origin, specifier)
        if isinstance(found_or_why, TensorRT):
            return TensorRTChoice("machine", found_or_why, f"{place} ({origin}){passed_over}")
        if found_or_why != _NOTHING:
            passed_over += f"; passed over {place}: {found_or_why}"
    advice = advise_tensorrt(specifier, cuda, data / "tensorrt")
    return TensorRTChoice(
        "absent", None, f"no TensorRT{f' {specifier}' if specifier else ''} is here{passed_over}", advice
    )


def obtain_tensorrt(
    choice: TensorRTChoice,
    specifier: str | None,
    environ: Mapping[str, str],
    log: Log,
    *,
    archive: str | None = None,
    data_dir: Path | None = None,
) -> TensorRT | None:
    """The TensorRT of ``choice``, unpacked where it is not yet; None for ``none``. Raises HostError."""
    if choice.tensorrt or choice.origin == "none":
        return choice.tensorrt
    if choice.origin == "archive" and archive is not None:
        root = unpack_tensorrt(Path(archive), data_dir or default_data_dir(environ), log)
        return _fit(judge_tensorrt(root, "archive", specifier), archive)
    raise HostError(choice.reason, remedy=choice.advice.remedy if choice.advice else _REMEDY)


def _fit(found: TensorRT | str, named: str) -> TensorRT:
    if isinstance(found, str):
        raise HostError(f"the TensorRT at {named} is not fit: {found}", remedy=_REMEDY)
    return found


def judge_tensorrt(root: Path, origin: str, specifier: str | None) -> TensorRT | str:
    """The TensorRT at ``root``, or why it is none that can be used. Debian has a directory per machine type."""
    triplet = f"{platform.machine()}-linux-gnu"
    headers = [path for path in (root / "include", root / "include" / triplet) if (path / _HEADER).is_file()]
    libraries = [
        path
        for directory in (root / "lib", root / "lib64", root / "lib" / triplet, root)
        for path in sorted(directory.glob("libnvinfer.so*"))
    ]
    if libraries and not headers:
        return "it has libraries and no headers, like the tensorrt packages that pip installs"
    if not headers:
        return _NOTHING
    if not libraries:
        return "there is no lib/libnvinfer.so"
    version = _version(headers[0] / _HEADER)
    if version is None:
        return f"{headers[0] / _HEADER} names no version that we understand"
    if specifier and not parse_range(specifier, "tensorrt.version").holds(version):
        return f"{version} is not {specifier}"
    return TensorRT(root, headers[0], libraries[0].parent, version, origin)


def _version(header: Path) -> str | None:
    """``10.10.0.31`` from NvInferVersion.h. Since 10.11 NV_TENSORRT_MAJOR is defined as another macro of the file."""
    text = header.read_text(errors="replace")
    pairs: list[tuple[str, str]] = re.findall(r"^\s*#define\s+(\w+)\s+(\w+)", text, re.MULTILINE)
    defines = dict(pairs)
    values = [defines.get(f"NV_TENSORRT_{part}", "") for part in ("MAJOR", "MINOR", "PATCH", "BUILD")]
    numbers = [defines.get(value, value) for value in values]
    return ".".join(numbers) if all(number.isdigit() for number in numbers) else None


def _places(environ: Mapping[str, str], data: Path) -> Iterator[tuple[Path, str]]:
    for variable in ("TENSORRT_ROOT", "TensorRT_ROOT", "TRT_ROOT"):
        if environ.get(variable):
            yield Path(environ[variable]), variable
    for directory in unpacked_roots("tensorrt", data):
        entry = read_entry(directory)
        if entry:
            yield entry.path / entry.facts["root"], "unpacked earlier"
    for path in _USUAL:
        yield path, "the usual place"
