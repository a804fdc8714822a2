"""The tools a real build needs: the machine's where they are fit, else ours from the hashed locks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from trtllm_builder.data import data_dir
from trtllm_builder.tools.choose import ToolWant, choose
from trtllm_builder.tools.install import install
from trtllm_builder.tools.toolkit import Toolkit, choose_toolkit, obtain_toolkit

CUDA = ">=13,<14"


@dataclass(frozen=True)
class Toolchain:
    """``path`` are directories to put before the system's; ``toolkit`` is CUDA 13."""

    path: tuple[Path, ...]
    toolkit: Toolkit

    def environment(self, home: Path) -> dict[str, str]:
        """What a compiler run needs and nothing else: no user configuration, no network, English messages."""
        return {
            "PATH": os.pathsep.join([*map(str, self.path), "/usr/bin", "/bin"]),
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "CUDACXX": str(self.toolkit.nvcc),
            "CUDA_HOME": str(self.toolkit.root),
            # Nothing listens there: downloads fail at once, on a machine with a network too.
            "http_proxy": "http://127.0.0.1:9",
            "https_proxy": "http://127.0.0.1:9",
        }


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    """Tools are kept in our data directory, as a user's are, so that a second test run finds them."""
    environ = dict(os.environ)
    data = data_dir(environ)
    directories = []
    for name in ("cmake", "ninja"):
        program = choose(ToolWant(name), environ).path or install([name], data, environ, print)[name]
        directories.append(program.parent)
    choice = choose_toolkit("auto", CUDA, environ, wheels=True)
    return Toolchain(tuple(directories), obtain_toolkit(choice, CUDA, environ, print))
