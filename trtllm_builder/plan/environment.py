"""The build's own world: an allow-list from the host, and what each of our settings is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from trtllm_builder.plan.model import Setting

FROM_HOST = "host environment"
# Network and certificate settings a child needs; nothing here can publish, sign or reach a cloud account.
_PASSED = (
    "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT",
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT",
    "PIP_CONFIG_FILE", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX",
)  # fmt: skip
_SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def from_host(environ: Mapping[str, str]) -> list[Setting]:
    """The variables that pass from the caller's environment."""
    return [Setting(name, environ[name], FROM_HOST) for name in _PASSED if environ.get(name)]


def search_path(first: Sequence[Path], machine_tools: Sequence[Path]) -> str:
    """PATH of the build: our directories, then where the machine's fit tools were found, then the system's."""
    ordered: dict[str, None] = {}
    for entry in (*first, *machine_tools, *_SYSTEM_PATH):
        ordered.setdefault(str(entry))
    return ":".join(ordered)


def own_world(home: Path, temporary: Path, caches: Path) -> list[Setting]:
    """Settings that keep the build inside its workspace and the same from run to run."""
    why = "the build's world is its own"
    return [
        Setting("HOME", str(home), why),
        Setting("TMPDIR", str(temporary), why),
        # Upstream empties $TRTLLM_DG_CACHE_DIR, or else ~/.tensorrt_llm, at every packaging.
        Setting("TRTLLM_DG_CACHE_DIR", str(home / "deep_gemm_cache"), "upstream empties this directory"),
        Setting("LC_ALL", "C.UTF-8", "reproducible"),
        Setting("TZ", "UTC", "reproducible"),
        # Upstream passes -D values through a set, whose order changes with the hash seed.
        Setting("PYTHONHASHSEED", "0", "reproducible"),
        # Without it no two compilations of one .cu file agree.
        Setting("NVCC_APPEND_FLAGS", "--objdir-as-tempdir", "reproducible"),
        Setting("CMAKE_EXPORT_COMPILE_COMMANDS", "ON", "to see whether options took"),
        Setting("PYTHONUNBUFFERED", "1", "lines reach the log in order"),
        Setting("PIP_CACHE_DIR", str(caches / "pip"), "shared by all workspaces"),
        Setting("PIP_NO_INPUT", "1", "no prompt"),
        Setting("PIP_DISABLE_PIP_VERSION_CHECK", "1", "no needless network"),
        Setting("GIT_CONFIG_NOSYSTEM", "1", why),
        Setting("GIT_CONFIG_GLOBAL", "/dev/null", why),
        Setting("GIT_TERMINAL_PROMPT", "0", "no prompt"),
        Setting("GIT_OPTIONAL_LOCKS", "0", why),
        Setting("GIT_ALLOW_PROTOCOL", "https:ssh:file", why),
    ]


def compile_cache(directory: Setting, max_size: int, base: Path, origin: str) -> list[Setting]:
    """ccache so that a build in another workspace hits too. ``max_size`` in bytes, and its ``origin``."""
    return [
        directory,
        Setting("CCACHE_MAXSIZE", f"{max(1, max_size // 2**20)}Mi", origin),
        # Paths below the workspace are hashed as relative ones, and the current directory is not hashed at all.
        Setting("CCACHE_BASEDIR", str(base), "hits from any workspace"),
        Setting("CCACHE_NOHASHDIR", "1", "hits from any workspace"),
        # A compiler unpacked again has another time stamp and the same bytes.
        Setting("CCACHE_COMPILERCHECK", "content", "hits after a fresh set-up"),
    ]
