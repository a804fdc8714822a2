"""The provenance of a wheel: an in-toto statement with a SLSA v1 predicate, ``WHEEL.intoto.json`` beside it.

Sources: in-toto attestation framework v1 (Statement, ResourceDescriptor), SLSA "Provenance" v1
(https://slsa.dev/spec/v1.1/provenance). What the fields mean here stands in ``wheel-build-v1.md``, to which the
``buildType`` leads: it is a package URL with that file as its subpath.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from trtllm_builder import __version__
from trtllm_builder.attest.agreement import BUILD_TYPE, descriptor
from trtllm_builder.attest.statement import PROVENANCE, STATEMENT
from trtllm_builder.repro.inputs import Input
from trtllm_builder.text import redact

BUILDER = "pkg:pypi/trtllm-builder"
SUFFIX = ".intoto.json"
_SECRET = re.compile(r"(?i)token|secret|passw|credential|api_?key|private_?key")


@dataclass(frozen=True)
class Byproduct:
    """A file that was made along with the wheel."""

    name: str
    sha256: str
    media_type: str


@dataclass(frozen=True)
class Build:
    """What is to be said. ``asked`` and ``decided`` are plain JSON values; ``places`` maps directories of this machine
    to the names that stand for them. ``builder`` is a URI of whoever vouches for the machine; times in seconds since
    1970."""

    wheel: str
    sha256: str
    asked: Mapping[str, Any]
    decided: Mapping[str, Any]
    inputs: Sequence[Input]
    invocation: str
    started: float
    finished: float
    byproducts: Sequence[Byproduct]
    places: Mapping[str, str]
    builder: str = BUILDER


def provenance_path(wheel: Path) -> Path:
    return wheel.with_name(wheel.name + SUFFIX)


def statement_text(build: Build) -> str:
    """The statement, the same text for the same build but for its times and its run's name."""
    return json.dumps(statement(build), indent=2, sort_keys=True) + "\n"


def statement(build: Build) -> dict[str, Any]:
    return {
        "_type": STATEMENT,
        "subject": [{"name": build.wheel, "digest": {"sha256": build.sha256}}],
        "predicateType": PROVENANCE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": publishable(build.asked, build.places),
                "internalParameters": publishable(build.decided, build.places),
                "resolvedDependencies": [descriptor(one.to_json()) for one in build.inputs],
            },
            "runDetails": {
                "builder": {"id": build.builder, "version": {"trtllm-builder": __version__}},
                "metadata": {
                    "invocationId": build.invocation,
                    "startedOn": _time(build.started),
                    "finishedOn": _time(build.finished),
                },
                "byproducts": [
                    {"name": one.name, "digest": {"sha256": one.sha256}, "mediaType": one.media_type}
                    for one in build.byproducts
                ],
            },
        },
    }


def publishable(value: Any, places: Mapping[str, str]) -> Any:
    """``value`` without credentials, without what is named like a secret, and with ``places`` instead of paths."""
    if isinstance(value, Mapping):
        return {
            str(key): "***" if _SECRET.search(str(key)) and item else publishable(item, places)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [publishable(item, places) for item in value]
    if isinstance(value, (str, Path)):
        text = redact(str(value))
        for place in sorted(places, key=len, reverse=True):
            # Not /home/me within /home/me2.
            text = re.sub(re.escape(place) + r"(?![\w.-])", places[place].replace("\\", r"\\"), text)
        return text
    return value


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
