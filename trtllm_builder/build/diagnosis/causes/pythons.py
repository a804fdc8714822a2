"""The wrong Python, or one that lacks something."""

from __future__ import annotations

from trtllm_builder.build.diagnosis.model import Rank, signature

SIGNATURES = (
    signature(
        "wrong-python",
        (
            "requires a different Python",
            r"(?:Package|ERROR: \S+) '?(?P<subject>[\w.-]*)'? ?requires a different Python: (?P<have>[\d.]+\w*) "
            r"not in '(?P<want>[^']+)'",
        ),
        ("requires a different python", r"(?P<have>[\d.]+) not in '(?P<want>[^']+)'"),
        ("Requires-Python", r"Ignored the following versions that require a different python version: (?P<what>.*)"),
        ("requires Python", r"(?P<subject>[\w.-]+) requires Python (?P<want>[<>=!~]+\s?[\d.]+)"),
        says=(
            "{subject} wants Python {want}, and {have} runs.",
            "Python {want} is wanted, and {have} runs.",
            "{subject} wants Python {want}.",
            "A package is not made for this Python.",
        ),
        remedy="name the Python in `python:` of the profile (upstream's wheels are made for 3.10 and 3.12)",
        explains=("pip-error", "no-matching-package", "pip-download"),
    ),
    signature(
        "distutils-gone",
        ("No module named 'distutils", r"No module named '(?P<subject>distutils[\w.]*)'"),
        ("No module named 'imp'", r"No module named '(?P<subject>imp)'"),
        ("has no attribute 'ImpImporter'", r"module 'pkgutil' has no attribute '(?P<subject>ImpImporter)'"),
        says="Something imports {subject}, which Python 3.12 no longer has.",
        remedy='take Python 3.10 (`python: "3.10"` in the profile), or a newer setuptools in the build\'s venv',
        explains=("python-error", "pip-error", "module-missing"),
    ),
    signature(
        "python-incomplete",
        ("ensurepip is not", r"(?P<subject>ensurepip) is not"),
        ("No module named '_", r"No module named '(?P<subject>_ctypes|_ssl|_lzma|_bz2|_sqlite3)'"),
        ("No module named 'ensurepip'", r"No module named '(?P<subject>ensurepip)'"),
        ("No module named venv", r"No module named (?P<subject>venv|pip)\b"),
        ("No module named pip", r"No module named (?P<subject>pip)\b"),
        ("No module named 'pip'", r"No module named '(?P<subject>pip)'"),
        says="This Python lacks {subject}.",
        remedy="install the rest of it (Debian: apt-get install python3-venv python3-dev python3-pip); one "
        "compiled by hand "
        "wants libffi-dev, libssl-dev and liblzma-dev before it is compiled again",
        explains=("python-error", "pip-error", "module-missing"),
    ),
    signature(
        "python-headers-missing",
        ("Could NOT find Python", r"CMake Error.*Could NOT find Python3? \(missing: (?P<subject>[^)]+)\)"),
        ("Development.Module", r"Could NOT find Python.*(?P<subject>Development\.Module)"),
        says="CMake found no Python to build for, or not all of it (missing: {subject}).",
        remedy="it needs the headers of the very Python that builds (Debian: apt-get install python3-dev); "
        "inside a venv, those "
        "of the Python that the venv was made from",
        explains=("cmake-error", "package-not-found"),
    ),
    signature(
        "externally-managed",
        ("externally-managed-environment", r"externally-managed-environment"),
        says="pip may not change this system's own Python.",
        remedy="build inside a virtual environment: upstream's script makes one unless --no-venv is given",
        explains=("pip-error",),
    ),
    signature(
        "pip-conflict",
        ("ResolutionImpossible", r"ResolutionImpossible"),
        ("conflicting dependencies", r"Cannot install (?P<what>.*) because these package versions have conflicting"),
        says=("pip finds no versions that fit together: {what}", "pip finds no versions that fit together."),
        remedy="a constraint of your own (PIP_CONSTRAINT, a preinstalled PyTorch) is often why: build in a "
        "fresh workspace "
        "without it",
        explains=("pip-error",),
    ),
    signature(
        "no-matching-package",
        ("No matching distribution found for", r"No matching distribution found for (?P<subject>\S+)"),
        says="No {subject} that fits this Python and this machine is on the package index.",
        remedy="see which Pythons it is made for; PIP_EXTRA_INDEX_URL names a further index (NVIDIA's and "
        "PyTorch's own have "
        "packages that the public one lacks)",
        explains=("pip-error",),
    ),
    signature(
        "tensorrt-not-installed",
        ("NvInferVersion.h", r"file \"(?P<file>[^\"]*NvInferVersion\.h)\" cannot be read"),
        ("ensorrt", r"No module named '(?P<subject>tensorrt)'"),
        (
            "TensorRT",
            r"(?i:could not find|not found|cannot find|not installed).{0,40}(?P<subject>TensorRT)"
            "\b(?!.LLM)",
        ),
        ("TensorRT", r"(?P<subject>TensorRT)(?!.LLM)(?: \S+){0,4} (?:not found|is not installed|cannot be found)"),
        says="TensorRT was not found.",
        remedy="name its directory in tensorrt.root of the profile (the unpacked tar archive: headers, "
        "libraries, and the "
        "wheel for this Python, which upstream's script wants to see in pip as well)",
        explains=("cmake-error", "package-not-found", "module-missing", "python-error"),
    ),
    signature(
        "module-missing",
        ("ModuleNotFoundError", r"ModuleNotFoundError: No module named '(?P<subject>[\w.]+)'"),
        says="The Python module {subject} is missing in the build's environment.",
        remedy="upstream's requirements were not all installed: see pip's messages above it, or begin with "
        "a fresh workspace",
        explains=("python-error",),
    ),
    signature(
        "pip-error",
        ("ERROR:", r"^\s*(?:× |error: subprocess|ERROR: )(?P<what>.*)"),
        ("error: subprocess-exited-with-error", r"(?P<what>subprocess-exited-with-error)"),
        ("metadata-generation-failed", r"(?P<what>metadata-generation-failed)"),
        rank=Rank.WRAPPER,
        says="pip or one of its builds failed: {what}",
        remedy="the lines above it say why",
    ),
)
