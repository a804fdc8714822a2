"""The build's own world: an allow-list from the host, and what each of our settings is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.version import Version

from trtllm_builder.plan.compile_cache import compile_cache
from trtllm_builder.plan.model import Setting
from trtllm_builder.plan.origins import origin
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.survey import Survey
from trtllm_builder.upstream.model import Probe

FROM_HOST = "host environment"
# Network and certificate settings a child needs; nothing here can publish, sign or reach a cloud account.
_PASSED = (
    "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "PIP_CERT",
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT",
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
        Setting("GIT_CONFIG_GLOBAL", str(home.parent / "gitconfig"), "clones come from the disk, or through a mirror"),
        Setting("CONAN_HOME", str(home / ".conan2"), why),
        Setting("GIT_TERMINAL_PROMPT", "0", "no prompt"),
        Setting("GIT_OPTIONAL_LOCKS", "0", why),
        Setting("GIT_ALLOW_PROTOCOL", "https:ssh:file", why),
    ]


def build_environment(request: Request, survey: Survey, probe: Probe, cuda: str, epoch: int | None) -> list[Setting]:
    """All variables of the build, each with what it is for. ``epoch`` is the commit's time, seconds since 1970."""
    profile, place = request.loaded.profile, survey.place
    root = place.root
    settings = from_host(request.environ)
    if request.bundle is not None:
        # See build/bundle_use.py, which put them there.
        offline = ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_CONFIG_FILE")
        settings = [Setting(one.name, one.value, "the bundle") if one.name in offline else one for one in settings]
    settings += own_world(root / "home", root / "tmp", place.caches)
    toolkit = survey.toolkit.toolkit
    if toolkit is not None:
        why = f"toolkit {survey.toolkit.origin}"
        settings += [
            Setting("CUDA_HOME", str(toolkit.root), why),
            Setting("CUDA_PATH", str(toolkit.root), why),
            Setting("CUDACXX", str(toolkit.nvcc), why),
        ]
    settings.append(Setting("PATH", _path(survey, root), "tools of this plan, then the system's"))
    if profile.build.ccache.enabled:
        settings += compile_cache(profile, place.caches, root)
    if epoch is not None:
        settings.append(Setting("SOURCE_DATE_EPOCH", str(epoch), "time of the commit"))
    # Some releases rewrite requirements.txt for CUDA 12 when this variable says so, and only then.
    if probe.has_trap("requirements-rewritten-for-cuda") and Version(cuda).major == 12:
        settings.append(Setting("CUDA_VERSION", cuda, "this release rewrites its requirements for CUDA 12 by it"))
    present = {setting.name for setting in settings}
    for mirror in request.loaded.mirrors if request.bundle is None else ():
        for name, value in (
            ("GITHUB_MIRROR", mirror.github_mirror),
            ("PIP_INDEX_URL", mirror.pip_index),
            # The two names of one setting, uv's newer one and its older one.
            ("UV_DEFAULT_INDEX", mirror.pip_index),
            ("UV_INDEX_URL", mirror.pip_index),
        ):
            if value and name not in present:
                settings.append(Setting(name, value, f"mirror set {mirror.name}"))
                present.add(name)
    tensorrt = survey.tensorrt.tensorrt
    if tensorrt is not None:
        settings.append(Setting("LD_LIBRARY_PATH", str(tensorrt.library), "TensorRT, which the stub step loads"))
    if request.bundle is not None:
        settings = [one for one in settings if one.name != "GIT_ALLOW_PROTOCOL"]
        settings.append(Setting("GIT_ALLOW_PROTOCOL", "file", "the bundle"))
        # For archives, which no git configuration leads anywhere (build/downloads.py lays them out).
        settings.append(Setting("GITHUB_MIRROR", (root / "served/https/github.com").as_uri(), "the bundle"))
    for name, value in profile.build.environment.items():
        settings = [setting for setting in settings if setting.name != name]
        settings.append(Setting(name, value, origin(profile, f"build.environment.{name}")))
    return settings


def _path(survey: Survey, root: Path) -> str:
    toolkit = survey.toolkit.toolkit
    ours = [root / "venv" / "bin", root / "bin", *([toolkit.root / "bin"] if toolkit else [])]
    machine = [
        Path(one.found).parent
        for one in survey.host.system.prerequisites
        if one.found and Path(one.found).is_file() and not one.name.startswith("python")
    ]
    return search_path(ours, machine)
