"""Where shipped data and the user's own directories are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(kind: str) -> Path:
    """Directory of the shipped ``profiles`` or ``patches``: in an installed package, else beside it in a checkout."""
    inside = _PACKAGE / "_data" / kind
    return inside if inside.is_dir() else _PACKAGE.parent / kind


def _home(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    # The XDG Base Directory specification: relative paths in these variables are to be ignored.
    value = environ.get(variable, "")
    base = Path(value) if value.startswith("/") else Path(environ.get("HOME") or "/") / fallback
    return base / "trtllm-builder"


def config_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The user's own profiles and patch sets live under here."""
    return _home(os.environ if environ is None else environ, "XDG_CONFIG_HOME", ".config")


def own_dirs(kind: str, environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The user's own ``profiles`` or ``patches``; none where we may not look, as with another user's HOME."""
    directory = config_dir(environ) / kind
    try:
        directory.stat()
    except PermissionError:
        return ()
    except OSError:
        return (directory,)
    return (directory,) if os.access(directory, os.R_OK | os.X_OK, effective_ids=True) else ()


def data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Tools that we install live here, one directory a lock digest."""
    return _home(os.environ if environ is None else environ, "XDG_DATA_HOME", ".local/share")


def cache_dir(environ: Mapping[str, str] | None = None) -> Path:
    """Workspaces (when no data disk is found), source cache and compile cache."""
    return _home(os.environ if environ is None else environ, "XDG_CACHE_HOME", ".cache")


def state_dir(environ: Mapping[str, str] | None = None) -> Path:
    """What is known of runs lives here, a file a run."""
    return _home(os.environ if environ is None else environ, "XDG_STATE_HOME", ".local/state")
