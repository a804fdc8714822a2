"""The git command as we run it: our own configuration, no prompts, no hooks, one transport at a time."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trtllm_builder.errors import HostError
from trtllm_builder.process import Completed, run
from trtllm_builder.source.model import Mirror
from trtllm_builder.source.urls import Url, parse_url

CONFIG = Path(__file__).with_name("gitconfig")
_OLDEST = (2, 32)  # GIT_CONFIG_GLOBAL came with it, and GIT_CONFIG_COUNT one earlier
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_AUTHORITIES = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_PROXY_SSL_CAINFO",
)  # fmt: skip
# HOME is for ~/.netrc and ~/.ssh; git's own files below it are not read.
_PASSED = ("PATH", "HOME", "TMPDIR", "SSH_AUTH_SOCK", *_PROXIES, *_AUTHORITIES)
# A repository's own configuration beats a global file, but not these.
_ALWAYS = (("core.fsmonitor", "false"), ("core.hooksPath", "/dev/null"), ("core.pager", "cat"))
_SSH = "ssh -oBatchMode=yes -oConnectTimeout=20 -oServerAliveInterval=20 -oServerAliveCountMax=3"
_MOST = 64 << 20  # bytes; somebody's edits are as large as they are


@dataclass(frozen=True)
class Git:
    """A git program and what of our environment it may know."""

    program: str
    environ: Mapping[str, str]

    def run(
        self,
        *words: str,
        directory: Path | None = None,
        url: Url | None = None,
        timeout: float = 600.0,
        lock: int | None = None,
    ) -> Completed:
        """git with ``words``; only ``url``'s transport is allowed; credentials go by environment, not argv.

        ``lock`` is a descriptor that git keeps open, see lock.py. Does not raise when git fails.
        """
        place = ("-C", str(directory)) if directory else ()
        environment = self.environment(url)
        return run(
            (self.program, *place, *words),
            env=environment,
            timeout=max(timeout, 0.1),
            pass_fds=() if lock is None else (lock,),
            most=_MOST,
        )

    def environment(self, url: Url | None = None) -> dict[str, str]:
        """The whole environment of a git that may talk to ``url``'s kind of server, or to none."""
        pairs = list(_ALWAYS)
        if url and url.secret:
            pairs.append((f"http.{url.text}.extraHeader", f"Authorization: {basic(url.secret)}"))
        return {
            **{name: self.environ[name] for name in _PASSED if name in self.environ},
            "LC_ALL": "C",
            "GIT_CONFIG_GLOBAL": str(CONFIG),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": url.scheme if url else "file",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_SSH_COMMAND": _SSH,
            **config_variables(pairs),
        }


def basic(secret: str) -> str:
    """The value of an Authorization header for ``user:password`` (RFC 7617)."""
    return "Basic " + base64.b64encode(secret.encode()).decode("ascii")


def config_variables(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Configuration handed to git by environment alone (git-config(1), GIT_CONFIG_COUNT)."""
    variables = {"GIT_CONFIG_COUNT": "0"}
    for number, (key, value) in enumerate(pairs):
        variables[f"GIT_CONFIG_KEY_{number}"] = key
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
        variables["GIT_CONFIG_COUNT"] = str(number + 1)
    return variables


def mirror_config(mirror: Mirror) -> tuple[tuple[str, str], ...]:
    """``url.<base>.insteadOf`` pairs of one mirror, for a build that fetches by itself; credentials as headers."""
    pairs = []
    for prefix, replacement in mirror.rewrites:
        base = parse_url(replacement)
        pairs.append((f"url.{base.text}.insteadOf", prefix))
        if base.secret:
            pairs.append((f"http.{base.text}.extraHeader", f"Authorization: {basic(base.secret)}"))
    return tuple(pairs)


def find_git(environ: Mapping[str, str]) -> Git:
    """The git on ``environ``'s PATH; HostError when there is none or it is older than 2.32."""
    remedy = "install git 2.32 or newer: apt-get install git, or without root conda install -c conda-forge git"
    program = shutil.which("git", path=environ.get("PATH", "/usr/bin:/bin"))
    if not program:
        raise HostError("git is not installed", remedy=remedy)
    git = Git(program, {name: environ[name] for name in _PASSED if name in environ})
    said = git.run("--version", timeout=30).stdout
    version = re.search(r"(\d+)\.(\d+)", said)
    if not version or (int(version[1]), int(version[2])) < _OLDEST:
        raise HostError(f"{program} is {said.strip() or 'not working'}, which is too old", remedy=remedy)
    return git


def proxies_and_authorities(environ: Mapping[str, str]) -> tuple[dict[str, str], str | None]:
    """The same two settings for our own https client: proxies by scheme (with ``no``), and a CA file."""
    proxies: dict[str, str] = {}
    for name in _PROXIES:
        value = environ.get(name)
        if value:
            proxies.setdefault(name.lower().removesuffix("_proxy"), value)
    cafile = next(
        (environ[name] for name in ("GIT_SSL_CAINFO", "SSL_CERT_FILE", "CURL_CA_BUNDLE") if environ.get(name)), None
    )
    return proxies, cafile


def words_for_fetch(depth: int | None, url: Url, refspecs: Sequence[str]) -> tuple[str, ...]:
    """A fetch that writes objects and the named refs, and nothing else."""
    shallow = () if depth is None else (f"--depth={depth}",)
    return (
        "fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance", "--no-write-fetch-head",
        *shallow, "--end-of-options", url.text, *refspecs,
    )  # fmt: skip
