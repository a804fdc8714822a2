"""What a wheel is composed of, as CycloneDX inside it: ``.dist-info/sboms/trtllm-builder.cdx.json`` (PEP 770).

Source: the CycloneDX 1.6 JSON schema (cyclonedx.org/docs/1.6/json; ECMA-424), which scanners read widely; package URLs
by their specification's types ``pypi``, ``github`` and ``generic``. It stands in the wheel, so it must be the same for
the same inputs: no times, and a serial number made from the contents. cyclonedx-python-lib would bring seven packages
for this one document, and another version of it other bytes; it judges ours in the tests.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from trtllm_builder import __version__
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.libraries import Library
from trtllm_builder.text import redact

FILE = "sboms/trtllm-builder.cdx.json"
_SPACE = uuid.UUID("5e5f2f8c-6f0b-5b0e-9d43-0d2a5a1c7a10")
# Kind -> CycloneDX's type, and its scope: what is needed to build it and is not in it is "excluded".
_COMPONENTS = {
    "source": ("library", "required"),
    "submodule": ("library", "required"),
    "dependency": ("library", "required"),
    "download": ("file", "required"),
    "lfs": ("file", "required"),
    "toolkit": ("file", "required"),
    "compiler": ("file", "required"),
    "tensorrt": ("library", "excluded"),
    "requirement": ("library", "excluded"),
}
# Of a toolkit or compiler only these end up in what is linked; its programs do not.
_LINKED = (".a", ".o", ".bc")
_HASHES = {"sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
_GITHUB = re.compile(r"(?:git\+)?https://github\.com/([^/@#?]+)/([^/@#?]+?)(?:\.git)?(?:@([0-9a-f]{40,64}))?")


@dataclass(frozen=True)
class Contained:
    """A library of the wheel. ``made`` is for one that a step of the build made; ``brought`` is the input that others
    come from, None where nobody says: then its hash, soname and build id have to do."""

    library: Library
    made: bool
    brought: Input | None = None


def bill_of_materials(name: str, version: str, inputs: Sequence[Input], libraries: Sequence[Contained] = ()) -> bytes:
    """The document for the wheel of that project name and version. Inputs that leave nothing in a wheel (programs,
    the machine) are for the lock and the provenance, not for this."""
    own = f"pkg:pypi/{quote(name.lower().replace('_', '-'))}@{quote(version)}"
    components = [*_components(inputs), *map(_library, sorted(libraries, key=lambda one: one.library.member))]
    contained = [one["bom-ref"] for one in components if one["scope"] == "required"]
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "trtllm-builder", "version": __version__}]},
            "component": {"type": "library", "bom-ref": own, "name": name, "version": version, "purl": own},
        },
        "components": components,
        "dependencies": [{"ref": own, "dependsOn": contained}],
    }
    text = json.dumps(document, sort_keys=True, ensure_ascii=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(_SPACE, text)}"
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _components(inputs: Sequence[Input]) -> Iterator[dict[str, Any]]:
    patches = [one for one in inputs if one.kind == "patch"]
    seen: set[str] = set()
    for one in sorted(inputs, key=lambda one: (one.kind, one.name, one.version, one.uri)):
        if one.kind not in _COMPONENTS or (one.kind in ("toolkit", "compiler") and not one.name.endswith(_LINKED)):
            continue
        kind, scope = _COMPONENTS[one.kind]
        reference = f"{one.kind}:{one.name}"
        while reference in seen:
            reference += "'"
        seen.add(reference)
        properties = {"trtllm-builder:kind": one.kind}
        if one.kind == "source":
            properties |= {f"trtllm-builder:patch:{p.name}": p.digest.get("sha256", "") for p in patches}
        yield _component(one, kind, scope, reference, properties)


def _component(one: Input, kind: str, scope: str, reference: str, properties: dict[str, str]) -> dict[str, Any]:
    version = one.version or one.digest.get("gitCommit", "")
    hashes = [{"alg": _HASHES[name], "content": one.digest[name].lower()} for name in _HASHES if name in one.digest]
    if "gitCommit" in one.digest:
        properties["trtllm-builder:commit"] = one.digest["gitCommit"]
    purl = _package_url(one)
    uri = redact(one.uri)
    external = [{"type": "vcs", "url": uri.removeprefix("git+").rpartition("@")[0]}] if uri.startswith("git+") else []
    return {
        "type": kind,
        "bom-ref": reference,
        "name": one.name,
        "scope": scope,
        **({"version": version} if version else {}),
        **({"hashes": hashes} if hashes else {}),
        **({"purl": purl} if purl else {}),
        **({"externalReferences": external} if external else {}),
        "properties": [{"name": name, "value": value} for name, value in sorted(properties.items())],
    }


def _library(one: Contained) -> dict[str, Any]:
    """A member of the wheel by its place, as CycloneDX says where a component was found."""
    library, brought = one.library, one.brought
    origin = f"{brought.kind}:{brought.name}" if brought else "build" if one.made else "unknown"
    properties = {"kind": "member", "origin": origin, "size": str(library.size)}
    properties |= {"soname": library.soname} if library.soname else {}
    properties |= {"build-id": library.build_id} if library.build_id else {}
    purl = _package_url(brought) if brought else ""
    return {
        "type": "library",
        "bom-ref": f"member:{library.member}",
        "name": PurePosixPath(library.member).name,
        "scope": "required",
        **({"version": brought.version} if brought and brought.version else {}),
        "hashes": [{"alg": "SHA-256", "content": library.sha256}],
        **({"purl": purl} if purl else {}),
        "evidence": {"occurrences": [{"location": library.member}]},
        "properties": [
            {"name": f"trtllm-builder:{name}", "value": value} for name, value in sorted(properties.items())
        ],
    }


def _package_url(one: Input) -> str:
    """What vulnerability databases look things up by; empty where nothing fits."""
    if one.uri.startswith("pkg:"):
        return one.uri
    match = _GITHUB.fullmatch(redact(one.uri))
    if match is None:
        return ""
    owner, repository, commit = match.groups()
    return f"pkg:github/{quote(owner.lower())}/{quote(repository.lower())}" + (f"@{commit}" if commit else "")
