"""The canary as a stranger would meet it: a clone, a virtual environment, upstream's own script, no patch of ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trtllm_builder import canary
from trtllm_builder.process import Completed, end_group, read_stat, run

# One architecture and fewer kernels: these tests are about everything but the kernels.
QUICK = ("--generator", "Ninja", "--cuda_architectures", "89", "--fast_build", "--job_count", "2")


@dataclass(frozen=True)
class Upstream:
    """A checkout of the canary, and the interpreter that runs its build_wheel.py."""

    checkout: Path
    python: Path
    environment: Mapping[str, str] = field(repr=False)

    @property
    def build_dir(self) -> Path:
        return self.checkout / "cpp/build"

    @property
    def generated(self) -> Path:
        return self.checkout / "cpp/tensorrt_llm/kernels/contextFusedMultiHeadAttention/fmha_v2_cu"

    @property
    def wheel(self) -> Path:
        """Put aside when it was built, since later builds in this checkout replace theirs."""
        (wheel,) = (self.checkout.parent / "wheel").glob("*.whl")
        return wheel

    def argv(self, *words: str) -> list[str]:
        return [str(self.python), str(self.checkout / "scripts/build_wheel.py"), *words]

    def build(self, *words: str, env: Mapping[str, str] | None = None) -> Completed:
        return run(self.argv(*words), env={**self.environment, **(env or {})}, cwd=self.checkout, timeout=240)

    def quick(self, *words: str, env: Mapping[str, str] | None = None) -> Completed:
        return self.build(*QUICK, *words, env=env)

    def fails(self, *words: str, env: Mapping[str, str] | None = None) -> str:
        """Everything a build printed that is expected to fail."""
        done = self.build(*words, env=env)
        assert done.returncode and not done.timed_out, everything(done)
        return everything(done)

    def git(self, *words: str) -> str:
        done = run(["git", *words], env=self.environment, cwd=self.checkout)
        assert done.ok, done.stderr
        return done.stdout


def everything(done: Completed) -> str:
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def canary_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("canary")
    canary.serve(path)
    return path / "canary.git"


@pytest.fixture(scope="session")
def canary_python(canary_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds requirements-dev.txt, so that the builds' own pip calls need no index."""
    prefix = tmp_path_factory.mktemp("venv") / "v"
    subprocess.run([sys.executable, "-m", "venv", prefix], check=True)
    requirements = canary_repository / "requirements-dev.txt"
    subprocess.run([prefix / "bin/python", "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
    return prefix / "bin/python"


@pytest.fixture(scope="session")
def new_upstream(
    canary_repository: Path, canary_python: Path, toolchain, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Upstream]:
    def make() -> Upstream:
        base = tmp_path_factory.mktemp("checkout")
        home = base / "home"
        home.mkdir()
        environment = toolchain.environment(home)
        environment["PATH"] = f"{canary_python.parent}:{environment['PATH']}"
        environment["PIP_NO_INDEX"] = "1"
        # The hosts that the canary names do not exist; these are as a proxy of the stranger's would be.
        (base / "gitconfig").write_text(canary.git_config(canary_repository.parent))
        environment |= {"GIT_CONFIG_GLOBAL": str(base / "gitconfig"), "GIT_ALLOW_PROTOCOL": "file"}
        upstream = Upstream(base / "TensorRT-LLM", canary_python, environment)
        clone = ["git", "clone", "--quiet", "--recurse-submodules", canary.url(), str(upstream.checkout)]
        done = run(clone, env=environment)
        assert done.ok, done.stderr
        for name in canary.lfs_files():
            # What git-lfs would do.
            shutil.copyfile(canary.TREE / name, upstream.checkout / name)
            upstream.git("update-index", "--assume-unchanged", name)
        return upstream

    return make


@pytest.fixture
def upstream(new_upstream: Callable[[], Upstream]) -> Upstream:
    """A fresh clone, nothing built."""
    return new_upstream()


@pytest.fixture(scope="session")
def online(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Definitions that give a machine without github what it would have downloaded: DeepGEMM, and no googletest."""
    return (f"-DFETCHCONTENT_SOURCE_DIR_DEEPGEMM={tmp_path_factory.mktemp('deepgemm')}", "-DBUILD_TESTS=OFF")


def _built(new_upstream: Callable[[], Upstream], *words: str) -> Upstream:
    upstream = new_upstream()
    done = upstream.quick(*words)
    assert done.ok, everything(done)
    (upstream.checkout / "build").rename(upstream.checkout.parent / "wheel")
    return upstream


@pytest.fixture(scope="session")
def multi(new_upstream: Callable[[], Upstream], online: tuple[str, ...]) -> Upstream:
    """Built with upstream's defaults: multi device on."""
    return _built(new_upstream, *online)


@pytest.fixture(scope="session")
def single(new_upstream: Callable[[], Upstream], online: tuple[str, ...]) -> Upstream:
    """Built with ENABLE_MULTI_DEVICE=0 and nothing else changed: what the field reports tried first."""
    return _built(new_upstream, *online, "-DENABLE_MULTI_DEVICE=0")


@pytest.fixture
def packed(multi: Upstream, tmp_path: Path) -> Iterator[Upstream]:
    """The built tree as it was before packaging; what a test does to it is undone."""
    kept = {multi.build_dir: tmp_path / "build", multi.generated: tmp_path / "generated"}
    for directory, copy in kept.items():
        shutil.copytree(directory, copy, symlinks=True)
    excluded = [word for name in ("/cpp/build", "fmha_v2_cu", "version.h") for word in ("-e", name)]
    multi.git("clean", "-fdxq", *excluded)
    yield multi
    multi.git("checkout", "--quiet", ".")
    for directory, copy in kept.items():
        shutil.rmtree(directory)
        shutil.copytree(copy, directory, symlinks=True)


@pytest.fixture(scope="session")
def toy_mpi4py(canary_repository: Path, canary_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel of the canary's stand-in for mpi4py."""
    base = tmp_path_factory.mktemp("mpi4py")
    shutil.copytree(canary_repository / "3rdparty/mpi4py-canary", base / "source")
    pip = [canary_python, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", base / "wheels", base / "source"], check=True)
    return base / "wheels"


@dataclass(frozen=True)
class Site:
    """A directory with an installed wheel; programs run outside every source tree."""

    directory: Path
    python: Path
    environment: Mapping[str, str] = field(repr=False)

    def argv(self, code: str) -> list[str]:
        return [str(self.python), "-c", code]

    def env(self, extra: Mapping[str, str] | None, before: Sequence[Path]) -> dict[str, str]:
        paths = ":".join(map(str, [*before, self.directory]))
        return {**self.environment, "PYTHONPATH": paths, **(extra or {})}

    def run(self, code: str, extra: Mapping[str, str] | None = None, before: Sequence[Path] = ()) -> Completed:
        return run(self.argv(code), env=self.env(extra, before), cwd=self.directory.parent, timeout=60)

    def hang(self, code: str, extra: Mapping[str, str] | None = None, before: Sequence[Path] = ()) -> str:
        """The stack on which the program stands still: alive, asleep, using no processor. Fails if it does not."""
        watched = f"import faulthandler; faulthandler.dump_traceback_later(1.5)\n{code}"
        out = self.directory.parent / "hang.txt"
        with out.open("w") as stream:
            child = subprocess.Popen(
                self.argv(watched),
                env=self.env(extra, before),
                cwd=self.directory.parent,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        try:
            deadline = time.monotonic() + 30
            while "most recent call first" not in out.read_text():
                assert child.poll() is None, f"it ended: {out.read_text()}"
                assert time.monotonic() < deadline, "no stack was written"
                time.sleep(0.05)
            before_stat = read_stat(child.pid)
            time.sleep(0.5)
            after = read_stat(child.pid)
            assert before_stat and after and after.state == "S" and after.cpu == before_stat.cpu
            return out.read_text()
        finally:
            end_group(child.pid, grace=0.2)
            child.wait()


def _install(upstream: Upstream, directory: Path, *words: str) -> Site:
    pip = [upstream.python, "-m", "pip", "install", "--quiet", "--no-index", "--target", directory, *words]
    done = run([*pip, upstream.wheel], env=upstream.environment)
    assert done.ok, everything(done)
    return Site(directory, upstream.python, upstream.environment)


@pytest.fixture(scope="session")
def multi_site(multi: Upstream, toy_mpi4py: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return _install(multi, tmp_path_factory.mktemp("multi") / "site", "--find-links", str(toy_mpi4py))


@pytest.fixture(scope="session")
def single_site(single: Upstream, toy_mpi4py: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return _install(single, tmp_path_factory.mktemp("single") / "site", "--find-links", str(toy_mpi4py))


@pytest.fixture(scope="session")
def fake_mpi4py(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The empty module of seed 000 ("created a fake MPI module"): Python gets past mpi4py, nothing else does."""
    directory = tmp_path_factory.mktemp("fake")
    package = directory / "mpi4py"
    for name in ("", "util", "futures"):
        (package / name).mkdir(parents=True, exist_ok=True)
        (package / name / "__init__.py").write_text("class MPIPoolExecutor: pass\n" if name == "futures" else "")
    (package / "MPI.py").write_text("COMM_WORLD = None\n")
    (package / "util/pkl5.py").write_text(
        "class Intracomm:\n"
        "    def __init__(self, comm): pass\n"
        "    def Split_type(self, split_type): return self\n"
        "    def Get_rank(self): return 0\n"
        "    def Get_size(self): return 1\n"
    )
    return directory
