"""Check that every library that is needed comes from somewhere: the wheel, what it requires, or the platform."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from trtllm_builder.binary.wheel import Wheel
from trtllm_builder.verify.checks import Check, Evidence, few, judged, like
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import Library
from trtllm_builder.verify.sonames import brought, source_of


def needed_check(wheel: Wheel, libraries: Sequence[Library], expectation: Expectation) -> Check:
    """needed. What a base installation brings counts, an extra's or another platform's requirement does not."""
    inside = {name for library in libraries for name in (library.name, library.soname) if name}
    requirements = projects(wheel)
    outside: dict[str, list[str]] = {}
    for library in libraries:
        for soname in library.needed:
            if soname not in inside:
                outside.setdefault(soname, []).append(library.path)
    seen: dict[str, list[str]] = {}
    missing: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for soname, users in sorted(outside.items()):
        source = source_of(soname)
        if source.kind in ("platform", "driver"):
            seen.setdefault(f"from the {source.kind}", []).append(soname)
        elif bringer := brought(source, requirements):
            seen.setdefault(f"from {bringer}", []).append(soname)
        else:
            missing.setdefault((source.packages[0] if source.packages else "", tuple(users)), []).append(soname)
    problems = [Evidence(_nobody(names, *key), key[1][0]) for key, names in missing.items()]
    hidden = [Evidence(*told) for library in libraries for told in _out_of_sight(library, libraries)]
    return judged(
        "needed",
        "every library that is needed comes with the wheel, what it requires, or the platform",
        problems,
        severity="error" if expectation.strict else "warning",
        seen=[*(f"{where}: {few(names, 8)}" for where, names in seen.items()), *hidden],
        remedy="It fails with `cannot open shared object file` where nobody installed them: add the requirement, put "
        "them into the wheel, or install them on the host (`trtllm-build doctor --wheel` looks for them).",
    )


def projects(wheel: Wheel) -> tuple[str, ...]:
    """Normalised names that a plain installation requires; extras left out, markers for other systems as well."""
    found = []
    environment = {"extra": "", "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    for machine in {tag.platform.rpartition("linux")[2].partition("_")[2] for tag in wheel.tags}:
        environment["platform_machine"] = "x86_64" if machine.endswith("x86_64") else "aarch64"
    for text in wheel.header("Requires-Dist"):
        try:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate(environment):
                found.append(str(canonicalize_name(requirement.name)))
        except (InvalidRequirement, ValueError):
            continue
    return tuple(dict.fromkeys(found))


def _nobody(sonames: Sequence[str], package: str, users: Sequence[str]) -> str:
    needs = f"needs {few(sonames)}{like(users)}"
    them = "them" if len(sonames) > 1 else "it"
    if package == "torch":
        return f"{needs}; torch has {them}, and METADATA does not require it"
    if package:
        return f"{needs}; {package} has {them}, and METADATA requires neither that nor torch"
    return f"{needs}; nothing in the wheel, in its requirements or on the platform list has {them}"


def _out_of_sight(library: Library, libraries: Sequence[Library]) -> list[tuple[str, str]]:
    """Needed libraries that the wheel holds where the loader does not look: fine when something loads them first."""
    paths = [path for path in (*library.runpath, *library.rpath) if path.startswith(("$ORIGIN", "${ORIGIN}"))]
    here = posixpath.dirname(library.path)
    looked = {posixpath.normpath(posixpath.join(here, *path.split("/")[1:])) for path in paths}
    told = []
    for soname in library.needed:
        places = {posixpath.dirname(one.path) or "." for one in libraries if soname in (one.soname, one.name)}
        if places and not places & looked:
            told.append((f"does not look where the wheel has {soname}; it must be loaded before", library.path))
    return told
