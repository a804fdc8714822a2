"""The CUDA toolkit: the machine's, one that the profile names, one from a handed-over archive, or ours from wheels."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.data import data_dir as default_data_dir
from trtllm_builder.errors import HostError
from trtllm_builder.tools.advice import Advice, advise_toolkit
from trtllm_builder.tools.catalogue import TOOLS
from trtllm_builder.tools.install import install, installed
from trtllm_builder.tools.locate import ask, programs
from trtllm_builder.tools.ranges import Range, parse_range
from trtllm_builder.tools.store import Log, read_entry
from trtllm_builder.tools.tree import missing_parts
from trtllm_builder.tools.unpack import entry_directory, unpack_toolkit, unpacked_roots

_USUAL = Path("/usr/local")


@dataclass(frozen=True)
class Toolkit:
    """``nvcc`` is the real program below ``root``, never a wrapper on PATH. ``origin`` says where it was found."""

    root: Path
    version: str
    nvcc: Path
    cuobjdump: Path | None
    origin: str


@dataclass(frozen=True)
class ToolkitChoice:
    """``origin``: ``machine``, ``archive`` (handed over), ``ours`` (wheels) or ``absent``; then ``advice`` helps.

    ``toolkit`` is None while it is still to be unpacked or installed; ``size`` is what that adds, in bytes (0: not
    known).
    """

    origin: str
    version: str | None
    toolkit: Toolkit | None
    reason: str
    size: int = 0
    advice: Advice | None = None

    def to_json(self) -> dict[str, object]:
        return {
            "origin": self.origin,
            "version": self.version,
            "root": str(self.toolkit.root) if self.toolkit else None,
            "nvcc": str(self.toolkit.nvcc) if self.toolkit else None,
            "reason": self.reason,
            "size": self.size,
            "advice": self.advice.to_json() if self.advice else None,
        }


def find_toolkit(
    root: str, specifier: str, environ: Mapping[str, str], *, data_dir: Path | None = None
) -> Toolkit | None:
    """A complete toolkit in the range: at ``root``, or with ``auto`` the machine's first one. Writes nothing.

    ``auto`` looks at CUDA_HOME and CUDA_PATH, nvcc on PATH, /usr/local/cuda*, a conda environment, and what was
    unpacked for an earlier build. Raises HostError when a ``root`` that someone named is not fit.
    """
    return _search(root, parse_range(specifier, "cuda.toolkit"), environ, _data(data_dir, environ))[0]


def list_toolkits(
    environ: Mapping[str, str], *, data_dir: Path | None = None
) -> tuple[tuple[Path, Toolkit | str], ...]:
    """Every place where ``auto`` looks and something is: its toolkit, or why that cannot be used."""
    found: dict[str, tuple[Path, Toolkit | str]] = {}
    for place, origin in _places(environ, _data(data_dir, environ)):
        real = os.path.realpath(place)
        if real not in found:
            judged = _judge(place, origin, parse_range("", "cuda.toolkit"), environ)
            # A conda environment without CUDA is no toolkit that lacks something.
            if isinstance(judged, Toolkit) or origin != "CONDA_PREFIX":
                found[real] = (place, judged)
    return tuple(found.values())


def choose_toolkit(
    root: str,
    specifier: str,
    environ: Mapping[str, str],
    *,
    wheels: bool = False,
    archive: str | None = None,
    data_dir: Path | None = None,
) -> ToolkitChoice:
    """What the build will compile with; no network, no writing. HostError for a named root or archive that is unfit."""
    data = _data(data_dir, environ)
    wanted = parse_range(specifier, "cuda.toolkit")
    if archive is not None and root == "auto":
        entry = read_entry(entry_directory("cuda", Path(archive), data))
        known = _judge(entry.path / entry.facts["root"], "archive", wanted, environ) if entry else None
        if isinstance(known, str):
            raise HostError(f"the CUDA toolkit of {archive} is not fit: {known}", remedy=_named_remedy(wanted))
        return ToolkitChoice("archive", known.version if known else None, known, f"{archive}, handed over")
    found, passed_over = _search(root, wanted, environ, data)
    if found:
        return ToolkitChoice("machine", found.version, found, f"{found.root} ({found.origin}) is {wanted}{passed_over}")
    tool = TOOLS["cuda13"]
    if wheels and wanted.holds(tool.version):
        path = installed(tool.name, data)
        reason = f"ours from wheels by hashed lock{passed_over}"
        return ToolkitChoice("ours", tool.version, _ours(path) if path else None, reason, 0 if path else tool.installed)
    why = f"no CUDA toolkit {wanted} is here{passed_over}"
    if wheels:
        why += f"; the one we bring is {tool.version}"
    return ToolkitChoice("absent", None, None, why, advice=advise_toolkit(str(wanted), data / "cuda"))


def obtain_toolkit(
    choice: ToolkitChoice,
    specifier: str,
    environ: Mapping[str, str],
    log: Log,
    *,
    archive: str | None = None,
    data_dir: Path | None = None,
) -> Toolkit:
    """The toolkit of ``choice``, unpacked or installed where it is not yet. Raises HostError."""
    data = _data(data_dir, environ)
    if choice.toolkit:
        return choice.toolkit
    if choice.origin == "ours":
        return assemble_toolkit(data, environ, log)
    if choice.origin == "archive" and archive is not None:
        root = unpack_toolkit(Path(archive), data, environ, log)
        found = _judge(root, "archive", parse_range(specifier, "cuda.toolkit"), environ)
        if isinstance(found, Toolkit):
            return found
        raise HostError(f"the CUDA toolkit of {archive} is not fit: {found}", remedy=_named_remedy(specifier))
    raise HostError(choice.reason, remedy=choice.advice.remedy if choice.advice else _named_remedy(specifier))


def assemble_toolkit(data_dir: Path, environ: Mapping[str, str], log: Log) -> Toolkit:
    """Ours from NVIDIA's wheels, installed from the lock, with the links that they leave out. Raises HostError."""
    return _ours(install(["cuda13"], data_dir, environ, log)["cuda13"])


def _ours(nvcc: Path) -> Toolkit:
    return Toolkit(nvcc.parent.parent, TOOLS["cuda13"].version, nvcc, None, "ours")


def _data(data_dir: Path | None, environ: Mapping[str, str]) -> Path:
    return data_dir or default_data_dir(environ)


def _search(root: str, wanted: Range, environ: Mapping[str, str], data: Path) -> tuple[Toolkit | None, str]:
    """The first fit toolkit, and what was passed over before it, as the end of a sentence."""
    if root != "auto":
        found = _judge(Path(root), "cuda.root", wanted, environ)
        if isinstance(found, str):
            raise HostError(f"the CUDA toolkit at {root} is not fit: {found}", remedy=_named_remedy(wanted))
        return found, ""
    unfit: dict[str, str] = {}
    for place, origin in _places(environ, data):
        real = os.path.realpath(place)
        if real in unfit:
            continue
        found = _judge(place, origin, wanted, environ)
        passed_over = "".join(f"; passed over {path}: {why}" for path, why in unfit.items())
        if isinstance(found, Toolkit):
            return found, passed_over
        unfit[real] = found
    return None, "".join(f"; passed over {path}: {why}" for path, why in unfit.items())


def _named_remedy(wanted: object) -> str:
    return f"name a complete toolkit {wanted} in cuda.root, or hand one over in cuda.archive"


def _places(environ: Mapping[str, str], data: Path) -> Iterator[tuple[Path, str]]:
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if environ.get(variable):
            yield Path(environ[variable]), variable
    for nvcc in programs("nvcc", environ):
        yield _top(nvcc, environ), f"{nvcc} on PATH"
    for path in (_USUAL / "cuda", *sorted(_USUAL.glob("cuda-*"), reverse=True)):
        if path.is_dir():
            yield path, str(_USUAL)
    if environ.get("CONDA_PREFIX"):
        yield Path(environ["CONDA_PREFIX"]), "CONDA_PREFIX"
    for directory in unpacked_roots("cuda", data):
        entry = read_entry(directory)
        if entry:
            yield entry.path / entry.facts["root"], "unpacked earlier"


def _top(nvcc: Path, environ: Mapping[str, str]) -> Path:
    """The toolkit that an nvcc on PATH belongs to: it may be a wrapper or a link, so it is asked (its TOP)."""
    text, _ = ask(nvcc, ["--dryrun", "-E", "-x", "cu", "/dev/null"], environ, 20)
    match = re.search(r"^#\$ TOP=(.+)$", text, re.MULTILINE)
    return Path(os.path.realpath(match[1].strip())) if match else Path(os.path.realpath(nvcc)).parent.parent


def _judge(root: Path, origin: str, wanted: Range, environ: Mapping[str, str]) -> Toolkit | str:
    """The toolkit at ``root``, or why it is none that can be used."""
    missing = missing_parts(root)
    if missing:
        return f"lacks {', '.join(missing)}" if (root / "bin/nvcc").exists() else "there is no bin/nvcc"
    nvcc = root / "bin/nvcc"
    text, unfit = ask(nvcc, ["--version"], environ, 20)
    match = re.search(TOOLS["cuda13"].pattern, text)
    if unfit or not match:
        return f"its nvcc {unfit or 'prints no version that we understand'}"
    if not wanted.holds(match[1]):
        return f"{match[1]} is not {wanted}"
    cuobjdump = root / "bin/cuobjdump"
    return Toolkit(root, match[1], nvcc, cuobjdump if cuobjdump.is_file() else None, origin)
