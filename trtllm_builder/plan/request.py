"""What somebody asked for on the command line, beside the profile."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.profile.load import LoadedProfile
from trtllm_builder.profile.names import CANARY_URL

# user@host:path, as ssh writes it
_SSH = re.compile(r"[\w.+-]+@[\w.-]+:")


@dataclass(frozen=True)
class Request:
    """``source`` is a directory or a URL that stands in for the profile's; ``workspace`` and ``out`` are absolute."""

    loaded: LoadedProfile
    environ: Mapping[str, str]
    out: Path
    source: str | None = None
    workspace: Path | None = None
    jobs: int | None = None

    @property
    def directory(self) -> Path | None:
        """The source directory, when that is what ``source`` names."""
        if self.source is None or "://" in self.source or self.source == CANARY_URL or _SSH.match(self.source):
            return None
        return Path(self.source).expanduser().absolute()

    @property
    def url(self) -> str:
        """The source URL when no directory is given."""
        return self.loaded.profile.source.url if self.source is None else self.source
