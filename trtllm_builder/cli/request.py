"""From command-line words to a request: shared by the build and by ``plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trtllm_builder.plan.request import Request

# As build.jobs of a profile has it.
_MOST_JOBS = 9999


def make_request(
    *,
    profile: str,
    source: str | None,
    workspace: Path | None,
    out: Path,
    overrides: list[str] | None,
    jobs: int | None,
    profile_dirs: list[Path] | None,
) -> Request:
    """Raises ProfileError, and UsageError for a source directory that is not there or a URL that git must not get."""
    import os
    from dataclasses import replace

    from trtllm_builder.errors import UsageError
    from trtllm_builder.plan.paths import expand_home
    from trtllm_builder.plan.request import Request
    from trtllm_builder.profile.load import load_profile, search_path
    from trtllm_builder.profile.names import parse_source_url

    if jobs is not None and not 1 <= jobs <= _MOST_JOBS:
        raise UsageError(f"--jobs {jobs}: expected a number from 1 to {_MOST_JOBS}", remedy="or leave it out")
    for directory in profile_dirs or []:
        if not directory.is_dir():
            raise UsageError(f"--profile-dir {directory} is no directory", remedy="name one that has profiles in it")
    directories = search_path(profile_dirs or [], os.environ)
    loaded = load_profile(profile, profile_dirs=directories, overrides=overrides or [])
    request = Request(
        loaded=replace(loaded, profile=expand_home(loaded.profile, os.environ)),
        environ=dict(os.environ),
        out=out.expanduser().absolute(),
        source=source,
        workspace=workspace.expanduser().absolute() if workspace else None,
        jobs=jobs,
    )
    remedy = "name a directory with a TensorRT-LLM checkout, or a URL such as https://host/path.git"
    if request.directory is not None and not request.directory.is_dir():
        raise UsageError(f"--source {source} is no directory", remedy=remedy)
    if source is not None and request.directory is None:
        try:
            parse_source_url(source)
        except ValueError as error:
            raise UsageError(f"--source: {error}", remedy=remedy) from None
    return request
