"""Everything that goes into a wheel, by hash: what a lock holds, and what provenance and SBOM are made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trtllm_builder import __version__
from trtllm_builder.build.machine_inputs import machine_inputs
from trtllm_builder.build.run import Run
from trtllm_builder.repro.inputs import KINDS, Input
from trtllm_builder.text import redact

# Where things are made and how fast, which changes no byte of what is made.
_OF_THE_PLACE = ("workspace", "build.jobs", "build.job_memory", "build.reserve", "build.ccache", "signing")


def gather(run: Run) -> tuple[Input, ...]:
    """All inputs of the run, in the order of their kinds and by name. Needs tools, source and patches to be there.

    Raises OSError for a program that cannot be read.
    """
    found = [
        Input("builder", "trtllm-builder", f"pkg:pypi/trtllm-builder@{__version__}", version=__version__),
        _profile(run),
        *_sources(run.results["fetch"]),
        *(Input("patch", one["name"], digest=sha256(one["digest"])) for one in run.results["patch"]["sets"]),
        *machine_inputs(run),
    ]
    return tuple(sorted(found, key=lambda one: (KINDS.index(one.kind), one.name, one.uri)))


def locked_profile(document: Mapping[str, Any]) -> dict[str, Any]:
    """A profile's own values without those that change no byte of a wheel."""
    kept: dict[str, Any] = {name: value for name, value in document.items() if name not in ("origins", "schema_")}
    for path in _OF_THE_PLACE:
        *parents, last = path.split(".")
        at = kept
        for parent in parents:
            at[parent] = dict(at[parent])
            at = at[parent]
        at.pop(last, None)
    return kept


def _profile(run: Run) -> Input:
    profile = run.material.request.loaded.profile
    text = json.dumps(locked_profile(profile.model_dump(mode="json")), sort_keys=True)
    return Input("profile", profile.name, digest={"sha256": hashlib.sha256(redact(text).encode()).hexdigest()})


def _sources(fetched: Mapping[str, Any]) -> Iterator[Input]:
    """The result of the fetch stage: commits, LFS objects, and what CMake would clone."""
    url, commit = redact(fetched["url"]), fetched["commit"]
    digest = {"gitCommit": commit} if commit else {}
    if fetched["uncommitted"] or not commit:
        digest = {**digest, **sha256(fetched["digest"])}
    yield Input("source", "TensorRT-LLM", f"git+{url}@{commit}" if commit else "", digest, version=fetched["ref"])
    served = [one for one, _ in fetched["served"] if not one.endswith(" (LFS)")][1:]
    for number, (path, commit) in enumerate(fetched["submodules"]):
        where = f"git+{redact(served[number])}@{commit}" if number < len(served) else ""
        yield Input("submodule", path, where, {"gitCommit": commit})
    for path, oid in fetched["lfs_objects"]:
        yield Input("lfs", path, digest={"sha256": oid})
    for one in fetched["dependencies"]:
        where = f"git+{redact(one['url'])}@{one['commit']}"
        yield Input("dependency", one["name"], where, {"gitCommit": one["commit"]}, version=one["ref"])


def sha256(text: str) -> dict[str, str]:
    """As a digest set; empty where nothing is known. ``text`` may begin with ``sha256:``."""
    return {"sha256": text.removeprefix("sha256:")} if text else {}
