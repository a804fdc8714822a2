"""The smoke test: install the wheel where nothing else is, import it, start one worker, get one answer.

It finds faults, not malice: the wheel's code runs in the process that reports, and can forge each of its own answers.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from trtllm_builder.errors import HostError
from trtllm_builder.process import Completed, run
from trtllm_builder.verify.diagnose import diagnose_failure
from trtllm_builder.verify.environment import make_environment
from trtllm_builder.verify.exercise import exercise
from trtllm_builder.verify.shown import shown, tail
from trtllm_builder.verify.tried import Answer, Smoke

__all__ = ["Answer", "Smoke", "private_environment", "smoke"]
_VERSION = "import platform; print(platform.python_version())"


def smoke(
    wheel: Path,
    interpreter: Path,
    *,
    directory: Path,
    deadline: float,
    answer: Answer | None = None,
    modules: Sequence[str] = ("tensorrt_llm",),
    build_info: bool = True,
    environ: Mapping[str, str] | None = None,
    child_environ: Mapping[str, str] | None = None,
    stall: float = 20.0,
    host: Mapping[str, str] | None = None,
    targets: Collection[str] | None = None,
    extra_pip_args: Sequence[str] = (),
) -> Smoke:
    """Installs ``wheel`` in a fresh environment of ``interpreter`` below ``directory`` (removed again) and tries it.

    ``environ`` (package index, proxies) reaches the installer only, ``child_environ`` the tested code only; HOME and
    TMPDIR are private and everything else is clean. ``deadline`` is the ceiling in seconds for each of import, answer,
    launch and exit; ``stall`` seconds without CPU and I/O are a hang. ``build_info`` reads
    BuildInfo.ENABLE_MULTI_DEVICE. ``host`` is the caller's environment, in which the driver is looked for, or
    a toolkit's stubs of it. With ``targets`` (``sm_89``) a kernel is launched only on a GPU that runs one of them.
    Never raises for what the wheel does; HostError when the interpreter cannot be run.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # Resolved, since the tested process runs elsewhere; the interpreter is not, for it may be a venv's link.
    with tempfile.TemporaryDirectory(prefix="smoke-", dir=directory.resolve(), ignore_cleanup_errors=True) as name:
        place = Path(name)
        base = private_environment(place)
        version = _python_version(interpreter, base)
        made = make_environment(
            interpreter.absolute(),
            wheel.resolve(),
            place / "env",
            {**base, "PIP_NO_CACHE_DIR": "1", **(environ or {}), "HOME": base["HOME"]},
            tuple(extra_pip_args),
        )
        if made.ok:
            tried = exercise(
                made.python,
                place,
                modules=modules,
                build_info=build_info,
                answer=answer,
                environ={**base, **(child_environ or {})},
                stall=stall,
                deadline=deadline,
                host=host,
                targets=targets,
            )
        else:
            output = shown(made.output, place)
            tried = Smoke(
                modules=tuple(modules),
                outcome="not installed",
                phase="install",
                asked=answer,
                diagnosis=diagnose_failure("install", output),
                output=tail(output),
            )
        return replace(tried, python=version, installer=made.installer, install_seconds=made.seconds)


def private_environment(place: Path) -> dict[str, str]:
    """A clean environment whose HOME and TMPDIR are below ``place``."""
    for part in ("home", "tmp"):
        (place / part).mkdir()
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        "LANG": "C.UTF-8",
        "PYTHONNOUSERSITE": "1",
    }


def _python_version(interpreter: Path, env: Mapping[str, str]) -> str:
    try:
        asked = run([interpreter, "-I", "-c", _VERSION], env=env, timeout=60)
    except OSError as error:
        asked = Completed((), 127, "", error.strerror or str(error))
    version = asked.stdout.strip()
    if not asked.ok or not re.fullmatch(r"3\.\d+\.\S+", version):
        raise HostError(
            f"{interpreter} cannot be run as a Python interpreter: {asked.last_line if not asked.ok else 'it is none'}",
            remedy="Give the path of a Python 3.10 or newer with --python.",
        )
    return version
