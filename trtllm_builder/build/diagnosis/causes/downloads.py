"""What is fetched while configuring, by git and by pip."""

from __future__ import annotations

from trtllm_builder.build.diagnosis.model import signature

_MIRROR = (
    "where that server is slow or blocked (github.com often is), name a mirror set in source.mirrors of the profile "
    "(china is shipped): it rewrites git's URLs and sets GITHUB_MIRROR; https_proxy is passed on too"
)
_OFF = "; what one GPU does not need can be left out: BUILD_TESTS, BUILD_DEEP_EP, BUILD_DEEP_GEMM: OFF in build.cmake"
SIGNATURES = (
    signature(
        "git-ownership",
        ("dubious ownership", r"dubious ownership in repository at '(?P<subject>[^']+)'"),
        ("unsafe repository", r"unsafe repository \('(?P<subject>[^']+)'"),
        says="git refuses to work in {subject}, which belongs to another user.",
        remedy="chown it to the user who builds (in a container: the one it runs as), or `git config --global --add "
        "safe.directory {subject}` in a build of your own",
        explains=("download-failed", "cmake-error"),
    ),
    signature(
        "git-damaged",
        (
            "fatal:",
            r"fatal: .*(?:object file .* is empty|loose object .* is corrupt|bad object|index file "
            r"corrupt|packfile .* is)",
        ),
        says="A git repository is damaged, as after a full disk or a kill.",
        remedy="delete that checkout (for ours: --rebuild) and give the same command again",
    ),
    signature(
        "hash-mismatch",
        ("HASH mismatch", r"(?:DOWNLOAD )?HASH mismatch"),
        ("DO NOT MATCH THE HASHES", r"THESE PACKAGES DO NOT MATCH THE HASHES"),
        ("does not match expected value", r"does not match expected value"),
        says="A download is not what it should be: its hash differs.",
        remedy="a proxy or mirror answered with something else, or the download broke off: try again, then "
        "another mirror",
        explains=("download-failed", "cmake-error", "pip-error"),
        settled=True,
    ),
    signature(
        "pip-download",
        (
            "Could not find a version that satisfies",
            r"Could not find a version that satisfies the requirement (?P<requirement>\S+)(?: \(from versions: "
            r"(?P<versions>none))",
        ),
        (
            "Could not install packages due to an OSError",
            r"due to an OSError: HTTPS?ConnectionPool\(host='(?P<host>[^']+)'",
        ),
        ("Read timed out", r"HTTPS?ConnectionPool\(host='(?P<host>[^']+)'.*Read timed out"),
        ("SSLError", r"(?:SSLError|SSLCertVerificationError)"),
        (
            "SSL certificate",
            r"There was a problem confirming the ssl certificate|SSL certificate problem: (?P<reason>.*)",
        ),
        ("ssl certificate", r"problem confirming the ssl certificate"),
        ("ReadTimeoutError", r"ReadTimeoutError"),
        says=(
            "pip found no {requirement} at all: the package index could not be reached, or does not have it.",
            "pip could not download from {host}.",
            "A download failed: its TLS certificate was not accepted, or the server did not answer.",
        ),
        remedy="name another package index in PIP_INDEX_URL or through source.mirrors of the profile (china "
        "sets one); behind "
        "a proxy that opens TLS, PIP_CERT or SSL_CERT_FILE names its certificate",
        explains=("pip-error", "no-matching-package", "python-error"),
        settled=True,
    ),
    signature(
        "conan",
        ("ERROR: Unable to connect to remote", r"ERROR: Unable to connect to remote (?P<what>\S+)"),
        ("ERROR: Unable to connect to", r"ERROR: Unable to connect to (?P<what>\S+)"),
        ("ERROR: Package '", r"ERROR: Package '(?P<what>[^']+)' not resolved"),
        ("ERROR: Missing prebuilt package", r"ERROR: Missing prebuilt package for '(?P<what>[^']+)'"),
        ("conans.errors", r"conans?\.errors\.\w+: (?P<what>.*)"),
        ("ConanException", r"ConanException: (?P<what>.*)"),
        says="conan could not get what upstream asks of it: {what}",
        remedy="upstream's conan server is outside many networks; releases from 1.2 on need nothing from it "
        "but a local recipe "
        "(`--no-remote`): take a later release, or a proxy (https_proxy)",
        explains=("cmake-error", "pip-error", "python-error"),
        settled=True,
    ),
    signature(
        "download-failed",
        # git's words, curl's in CMake, CMake's own about the dependency, submodules, upstream's Python.
        (
            "unable to access",
            r"fatal: unable to access '(?P<url>\w+://(?P<host>[^/']+)[^']*?/?(?P<name>[\w.-]+?)(?:\.git)?/?)': "
            r"(?P<reason>.*)",
        ),
        ("Could not resolve host", r"Could not resolve (?:host|proxy): ?(?P<host>[\w.-]+)"),
        ("Build step for", r"Build step for (?P<dependency>\S+) failed"),
        (
            "Failed to clone repository",
            r"Failed to clone repository: '(?P<url>\w+://(?P<host>[^/']+)[^']*?/?(?P<name>[\w.-]+?)(?:\.git)?/?)'",
        ),
        (
            "downloading",
            r"error: downloading '(?P<url>\w+://(?P<host>[^/']+)[^']*?(?P<name>[\w.-]+))' "
            r"failed(?:.*status_string: \"(?P<reason>[^\"]+))?",
        ),
        ("status_string:", r"status_string: \"(?P<reason>[^\"]+)\""),
        (
            "of submodule",
            r"clone of '(?P<url>\w+://(?P<host>[^/']+)[^']*?/?(?P<name>[\w.-]+?)(?:\.git)?)' into submodule path "
            r"'(?P<path>[^']+)' failed",
        ),
        (
            "into submodule path",
            r"clone of '(?P<url>\w+://(?P<host>[^/']+)[^']*?/?(?P<name>[\w.-]+?)(?:\.git)?)' into submodule path "
            r"'(?P<path>[^']+)' failed",
        ),
        ("early EOF", r"fatal: early EOF"),
        ("RPC failed", r"error: RPC failed; (?P<reason>.*)"),
        ("GnuTLS recv error", r"(?P<reason>GnuTLS recv error.*)"),
        (
            "Connection timed out",
            r"(?:Failed to connect to|connect to) (?P<host>[\w.-]+).*(?P<reason>Connection timed out)",
        ),
        (
            "Failed to connect to",
            r"Failed to connect to (?P<host>[\w.-]+) port \d+(?: after \d+ ms)?: "
            "(?P<reason>.*)",
        ),
        ("Could not read from remote", r"fatal: (?P<reason>Could not read from remote repository)"),
        ("Temporary failure in name resolution", r"(?P<reason>Temporary failure in name resolution)"),
        ("Name or service not known", r"(?P<reason>Name or service not known)"),
        ("Host key verification failed", r"(?P<reason>Host key verification failed)"),
        ("Permission denied (publickey", r"(?P<reason>Permission denied \(publickey)"),
        ("Repository not found", r"(?P<reason>Repository not found)"),
        says=(
            "{dependency} could not be downloaded from {host} while configuring: {reason}",
            "{dependency} could not be downloaded from {host} while configuring.",
            "{name} could not be downloaded from {host}: {reason}",
            "{dependency} could not be downloaded while configuring: {reason}",
            "{name} could not be downloaded from {host}.",
            "{dependency} could not be downloaded while configuring.",
            "A download from {host} failed: {reason}",
            "A download failed: {reason}",
            "A download from {host} failed.",
            "A download broke off.",
        ),
        remedy=_MIRROR + _OFF,
        explains=("cmake-error", "package-not-found", "python-error", "archive-damaged", "header-missing", "pip-error"),
        settled=True,
    ),
)
