"""From command-line words to a request: shared by the build and by ``plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trtllm_builder.plan.request import Request


def make_request(
    *,
    profile: str,
    source: str | None,
    workspace: Path | None,
    out: Path,
    overrides: list[str] | None,
    jobs: int | None,
    profile_dirs: list[Path] | None,
    bundle: Path | None = None,
    locked: Path | None = None,
    index: str | None = None,
) -> Request:
    """Raises ProfileError, and UsageError for a source directory that is not there or a URL that git must not get."""
    import os

    from trtllm_builder.plan import request

    asked = request.Asked(
        profile=profile,
        out=out.expanduser().absolute(),
        source=source,
        workspace=workspace.expanduser().absolute() if workspace else None,
        overrides=tuple(overrides or ()),
        jobs=jobs,
        profile_dirs=tuple(profile_dirs or ()),
        bundle=bundle.expanduser().absolute() if bundle else None,
        locked=locked.expanduser().absolute() if locked else None,
        index=_absolute(index),
    )
    return request.make_request(asked, dict(os.environ))


def take_peaks(files: list[Path], request: Request, *, keep: bool) -> None:
    """Read what compilers took elsewhere, and with ``keep`` add it to what is known of the profile's. Raises UsageError
    for a file that is none of ours, and where nothing can be kept."""
    import typer

    from trtllm_builder.errors import UsageError
    from trtllm_builder.gate.learned import Learned
    from trtllm_builder.plan.peaks import add_peaks, peaks_path, published_peaks

    learned = Learned()
    for file in files:
        found, left_out = published_peaks(file)
        learned = learned.merge(found)
        if left_out:
            typer.echo(f"note: {left_out}", err=True)
    path = peaks_path(request.loaded.profile.name, request.environ)
    if keep:
        try:
            add_peaks(path, learned, measured=False)
        except OSError as error:
            raise UsageError(f"--peaks: {path} cannot be written ({error.strerror})") from None


def _absolute(index: str | None) -> str | None:
    """A URL as it is, a directory so that it is the same one from anywhere."""
    if index == "":
        from trtllm_builder.errors import UsageError

        raise UsageError("--index is empty", remedy="name a directory or a URL, or leave it out")
    return index if index is None or "://" in index else str(Path(index).expanduser().absolute())
