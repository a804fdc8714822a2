"""Everything that goes into a wheel, by hash: what a lock holds, and what provenance and SBOM are made of.

The stage ``inputs`` comes when source, patches and tools are there and before anything is compiled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import trtllm_builder
from trtllm_builder import __version__
from trtllm_builder.build.archives import archive_inputs
from trtllm_builder.build.journal import Json
from trtllm_builder.build.locked import check, check_inputs, lock_of
from trtllm_builder.build.machine_inputs import (
    host_inputs,
    host_stamp,
    image_inputs,
    package_inputs,
    package_stamp,
    tool_inputs,
)
from trtllm_builder.build.requirement import WANTED, Requirement
from trtllm_builder.build.requirements import install, listed, packages_kept, resolve
from trtllm_builder.build.run import Run, named_digests
from trtllm_builder.patching.sets import load_set, set_dirs
from trtllm_builder.repro.codec import CODEC
from trtllm_builder.repro.inputs import Input, sorted_inputs
from trtllm_builder.repro.lock import Lock, parse_lock
from trtllm_builder.source.digest import combine, file_digest, walk
from trtllm_builder.text import redact


def gather(run: Run) -> tuple[Input, ...]:
    """All inputs of the run, in the order of their kinds and by name, once the stage ``inputs`` was there."""
    return run_lock(run).inputs


def run_lock(run: Run) -> Lock:
    """The lock of the run, once the stage ``inputs`` was there: the one it is held to, or one of what it has."""
    return parse_lock(run.results["inputs"]["document"], run.workspace.journal_file)


def inputs_inputs(run: Run) -> dict[str, object]:
    request = run.material.request
    return {
        "trtllm-builder": [one.to_json() for one in our_inputs()],
        "the source": [run.results["fetch"][name] for name in ("commit", "digest", "dependencies", "archives")],
        "the patches": run.results["patch"],
        "files edited by hand": run.edits,
        "the tools": run.results["tools"],
        "the profile": lock_of(request, ()).to_json(),
        "the lock": request.locked.digest if request.locked else None,
        "the list of requirements": listed(run.workspace.source),
        "the compilers": host_stamp(run.environment, Path(run.plan.python.value)),
        "the packages' headers": package_stamp(run),
        "the image": [one.to_json() for one in image_inputs(request.environ)],
    }


def do_inputs(run: Run) -> Json:
    """The lock of this run. Raises ProfileError for what differs from the lock that it is held to."""
    locked = run.material.request.locked
    wanted = _requirements(run) if locked is None else locked.of(*WANTED)
    found = lock_of(run.material.request, _found(run, wanted), run.results["fetch"]["epoch"])
    if locked is not None:
        check(locked, found)
        found = locked
    return {"lock": {"sha256": found.digest, "locked": locked is not None}, "document": found.to_json()}


def _requirements(run: Run) -> tuple[Input, ...]:
    """What pip would take; as long as the lists are the same, what it said the first time in this workspace."""
    before = run.journal.last_end("inputs")
    if before is not None:
        same, now = before["inputs"], named_digests(run, inputs_inputs(run))
        if all(same.get(name) == now[name] for name in ("the list of requirements", "the tools")):
            return parse_lock(before["result"]["document"], run.workspace.journal_file).of(*WANTED)
    return tuple(one.to_input() for one in resolve(run))


def inputs_told(result: Json) -> str:
    held = "held to the lock" if result["lock"]["locked"] else "lock"
    return f"{len(result['document']['inputs'])} inputs, {held} {result['lock']['sha256'][:16]}"


def check_early(run: Run, *, tools: bool) -> None:
    """What differs from the lock that the run is held to, as soon as it is known: before anything is made, and once the
    ``tools`` are there. Raises ProfileError."""
    locked = run.material.request.locked
    if locked is None:
        return
    if tools:
        check_inputs(locked, sorted_inputs(tool_inputs(run)), "tool", "toolkit", "tensorrt")
        return
    # All that is known by now at once, so that a machine is brought to a lock in one go.
    host = host_inputs(run.environment, Path(run.plan.python.value), run.plan.python_version)
    ours = [*our_inputs(), *host, *image_inputs(run.material.request.environ), *_patch_sets(run)]
    # What a lock says of one requirement in several places has to be the same.
    ours += [Requirement.from_input(one).to_input() for one in locked.of(*WANTED)]
    check_inputs(locked, sorted_inputs(ours), "builder", "codec", "python", "compiler", "image", "patch", *WANTED)


def _patch_sets(run: Run) -> Iterator[Input]:
    """Those of the profile, whatever source they are for."""
    request = run.material.request
    directories = set_dirs((), request.environ)
    for name in request.loaded.profile.patches:
        yield Input("patch", name, "", sha256(load_set(name, directories).digest))


def offline(run: Run) -> dict[str, str]:
    """What keeps upstream's own pip from taking anything else in a build that is held to a lock."""
    if run.material.request.locked is None:
        return {}
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": packages_kept(run)}


def install_requirements(run: Run) -> None:
    """Upstream's requirements by their hashes, so that its own pip takes nothing. Raises HostError."""
    install(run, tuple(map(Requirement.from_input, run_lock(run).of(*WANTED))))


def _found(run: Run, requirements: Iterable[Input]) -> tuple[Input, ...]:
    return sorted_inputs(
        [
            *our_inputs(),
            *source_inputs(run.results["fetch"]),
            *(Input("patch", one["name"], "", sha256(one["digest"])) for one in run.results["patch"]["sets"]),
            *requirements,
            *tool_inputs(run),
            *host_inputs(run.environment, Path(run.plan.python.value), run.plan.python_version),
            *package_inputs(run),
            *image_inputs(run.material.request.environ),
        ]
    )


@cache
def our_inputs() -> tuple[Input, ...]:
    """What we ourselves are: our version, and every file of ours, as two checkouts of one version are two builders."""
    home = Path(trtllm_builder.__file__).parent
    files = (found for found in walk(home) if found.kind == "file" and b"__pycache__/" not in found.path)
    digest = combine((found.path, "file", file_digest(home / found.name)) for found in files)
    where = f"pkg:pypi/trtllm-builder@{__version__}"
    return (
        Input("builder", "trtllm-builder", where, sha256(digest), version=__version__),
        Input("codec", "deflate", version=str(CODEC)),
    )


def source_inputs(fetched: Mapping[str, Any]) -> Iterator[Input]:
    """The result of the fetch stage: commits, LFS objects, and what CMake would clone or download."""
    url, commit = redact(fetched["url"]), fetched["commit"]
    digest = {"gitCommit": commit} if commit else {}
    if fetched["uncommitted"] or not commit:
        digest = {**digest, **sha256(fetched["digest"])}
    # Where a directory lies is this machine's own affair.
    where = f"git+{url}@{commit}" if commit and fetched["served_by"] != "directory" else ""
    yield Input("source", "TensorRT-LLM", where, digest, version=fetched["ref"])
    served = [one for one, _ in fetched["served"] if not one.endswith(" (LFS)")][1:]
    for number, (path, commit) in enumerate(fetched["submodules"]):
        where = f"git+{redact(served[number])}@{commit}" if number < len(served) else ""
        yield Input("submodule", path, where, {"gitCommit": commit})
    for path, oid in fetched["lfs_objects"]:
        yield Input("lfs", path, "", {"sha256": oid})
    for one in fetched["dependencies"]:
        where = f"git+{redact(one['url'])}@{one['commit']}"
        yield Input("dependency", one["name"], where, {"gitCommit": one["commit"]}, version=one["ref"])
    yield from archive_inputs(fetched["archives"])


def sha256(text: str) -> dict[str, str]:
    """As a digest set; empty where nothing is known. ``text`` may begin with ``sha256:``."""
    return {"sha256": text.removeprefix("sha256:")} if text else {}
