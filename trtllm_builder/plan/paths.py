"""Paths that a profile leaves to whoever builds: ``~/`` is their home directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trtllm_builder.profile.model import Profile


def expand(text: str, environ: Mapping[str, str]) -> str:
    """``text`` with a leading ``~/`` replaced by HOME of ``environ``; words and other paths as they are."""
    return str(Path(environ.get("HOME") or "/", text[2:].lstrip("/"))) if text.startswith("~/") else text


def expand_home(profile: Profile, environ: Mapping[str, str]) -> Profile:
    """The profile with each of its paths expanded. Its origins stay."""

    def optional(text: str | None) -> str | None:
        return None if text is None else expand(text, environ)

    cuda, tensorrt, build = profile.cuda, profile.tensorrt, profile.build
    remote = build.ccache.remote
    if remote is not None:
        remote = remote.model_copy(update={"password_file": optional(remote.password_file)})
    ccache = build.ccache.model_copy(update={"dir": optional(build.ccache.dir), "remote": remote})
    return profile.model_copy(
        update={
            "cuda": cuda.model_copy(
                update={"root": expand(cuda.root, environ), "archive": optional(cuda.archive)},
            ),
            "tensorrt": tensorrt.model_copy(
                update={"root": expand(tensorrt.root, environ), "archive": optional(tensorrt.archive)}
            ),
            "build": build.model_copy(update={"ccache": ccache}),
            "signing": profile.signing.model_copy(update={"key": optional(profile.signing.key)}),
            "workspace": tuple(expand(entry, environ) for entry in profile.workspace),
        }
    )
