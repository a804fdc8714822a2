"""ccache so that a build in another workspace, or on another machine, hits too, and a wrong hit cannot be.

No check of ccache's is left out (``sloppiness``): the wheel is what it is for, and without any the second build of a
canary of 40 kernels hits every time (tests/benchmarks/cache). Settings: manual ccache(1), "Configuration options".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trtllm_builder.plan.model import Lack, Setting
from trtllm_builder.plan.origins import origin
from trtllm_builder.profile.cache import RemoteCache
from trtllm_builder.profile.model import Profile
from trtllm_builder.repro.seeds import MAP

UNTRUSTED = "ccache-untrusted"
# Milliseconds. A server that hangs costs a compilation so much and no more (the names of ccache 4.10, which all know).
_LIMITS = "connect-timeout=1000|operation-timeout=3000"


def compile_cache(profile: Profile, caches: Path, base: Path) -> list[Setting]:
    """``caches`` is the directory of all caches, ``base`` the workspace: paths below it are hashed relative to it."""
    cache = profile.build.ccache
    remote = cache.remote
    directory = Setting("CCACHE_DIR", str(caches / "ccache"), "shared by all workspaces")
    if cache.dir is not None:
        directory = Setting("CCACHE_DIR", cache.dir, origin(profile, "build.ccache.dir"))
    elif remote is not None and not remote.trusted:
        why = "apart: what an untrusted server gave must not reach a wheel that is published"
        directory = Setting("CCACHE_DIR", str(caches / UNTRUSTED), why)
    size = Setting(
        "CCACHE_MAXSIZE", f"{max(1, cache.max_size // 2**20)}Mi", origin(profile, "build.ccache.max_size")
    )  # fmt: skip
    settings = [
        directory,
        size,
        # Paths below the workspace are hashed as relative ones, and the current directory is not hashed at all.
        Setting("CCACHE_BASEDIR", str(base), "hits from any workspace"),
        Setting("CCACHE_NOHASHDIR", "1", "hits from any workspace"),
        # They hold the workspace's path, and all that they map is relative by the above.
        Setting("CCACHE_IGNOREOPTIONS", f"{MAP}* -Xcompiler={MAP}*", "hits from any workspace"),
        # A compiler unpacked again has another time stamp and the same bytes.
        Setting("CCACHE_COMPILERCHECK", "content", "hits after a fresh set-up"),
        Setting("CCACHE_SLOPPINESS", "", "no check is left out: a wrong hit would be in the wheel"),
        # Else the machine's, the cache's or a checkout's own ccache.conf would have a say, and could name a server.
        Setting("CCACHE_CONFIGPATH", "/dev/null", "only the profile has a say"),
    ]
    if remote is not None:
        told = origin(profile, "build.ccache.remote.url") + ("; its password stands nowhere" * remote.has_password)
        settings.append(Setting("CCACHE_REMOTE_STORAGE", storage(remote), told))
    return settings


def storage(remote: RemoteCache, url: str | None = None) -> str:
    """The server as ccache is told of it (ccache(1), "Configuration syntax"); ``url`` in the place of its own."""
    return f"{url or remote.url}|{_LIMITS}" + ("|read-only=true" if remote.read_only else "")


def password_lack(profile: Profile, environ: Mapping[str, str]) -> list[Lack]:
    """The password of the cache's server, where it is not where the profile says."""
    remote = profile.build.ccache.remote
    if remote is None or not profile.build.ccache.enabled:
        return []
    name, file = remote.password_variable, remote.password_file
    if name and not environ.get(name):
        return [Lack(f"the password of {remote.url} is not in the variable {name}", (f"export {name}=...",))]
    if file and not Path(file).is_file():
        return [Lack(f"the password of {remote.url} is not in {file}", (f"put it into {file}, alone",))]
    return []
