"""Check of symbol versions: which glibc and libstdc++ the libraries ask for, against what the tag promises."""

from __future__ import annotations

from collections.abc import Sequence

from trtllm_builder.binary.wheel import Wheel
from trtllm_builder.verify.checks import Check, Evidence, judged, like, noted, skipped
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.glibc import Asked, Version, asked, dotted, promised, together
from trtllm_builder.verify.library import Library


def symbol_check(wheel: Wheel, libraries: Sequence[Library], expectation: Expectation) -> Check:
    """symbol-versions. Without a manylinux tag nothing is promised: then what is needed is told."""
    title = "the symbol versions fit the platform tag"
    wanted = {library.path: asked(library) for library in libraries if not library.error}
    floor = together(wanted.values()).floor
    if floor is None:
        return skipped("symbol-versions", title, "no library asks for a versioned glibc symbol", severity="info")
    limit = promised(wheel.tags)
    told = f"glibc {dotted(floor)} or newer"
    if limit is None:
        most = [path for path, one in wanted.items() if one.floor == floor]
        return noted("symbol-versions", "which C library it needs", [Evidence(told, most[0] if len(most) == 1 else "")])
    beyond: dict[str, list[str]] = {}
    for path, one in wanted.items():
        if one.floor and one.floor > limit:
            beyond.setdefault(_beyond(one, limit), []).append(path)
    return judged(
        "symbol-versions",
        title,
        [
            Evidence(f"asks for {what}{like(paths)}; the tag promises glibc {dotted(limit)}", paths[0])
            for what, paths in beyond.items()
        ],
        severity="error" if expectation.strict else "warning",
        seen=f"{told}; the tag promises {dotted(limit)}",
        remedy=f"On a distribution older than those with glibc {dotted(floor)} it installs, and these libraries then "
        "fail with `version not found`. Build on an older one, or tag it for what it is.",
    )


def _beyond(one: Asked, limit: Version) -> str:
    """Which of the versions that are asked for are too new, each by itself."""
    alone = (Asked(glibc=one.glibc), Asked(glibcxx=one.glibcxx), Asked(cxxabi=one.cxxabi))
    kinds = zip(("GLIBC", "GLIBCXX", "CXXABI"), (one.glibc, one.glibcxx, one.cxxabi), alone, strict=True)
    return ", ".join(f"{kind}_{dotted(v)}" for kind, v, by_itself in kinds if v and (by_itself.floor or ()) > limit)
