"""The tools stage: what the build calls, found or installed, and the virtual environment that it runs in."""

from __future__ import annotations

import shutil
from pathlib import Path

from trtllm_builder.build.diagnosis.show import cause_in
from trtllm_builder.build.journal import Json
from trtllm_builder.build.run import Run
from trtllm_builder.data import data_dir
from trtllm_builder.errors import HostError
from trtllm_builder.host.environments import make_environment
from trtllm_builder.tools.install import install
from trtllm_builder.tools.tensorrt import obtain_tensorrt
from trtllm_builder.tools.toolkit import obtain_toolkit


def tools_inputs(run: Run) -> dict[str, object]:
    plan = run.plan
    return {
        "the Python": [plan.python.value, plan.python_version],
        "the CUDA toolkit": plan.toolkit_version,
        **{tool.name: tool.version for tool in plan.tools},
    }


def tools_lost(run: Run, result: Json) -> str:
    """An environment that was being made anew when all was killed is no loss: who needs it makes it."""
    marker = run.workspace.venv / "complete"
    gone = next((f"{path} is gone" for path in result["paths"].values() if not Path(path).exists()), "")
    moved = marker.is_file() and marker.read_text() != _venv_is_for(run)
    return gone or (f"{marker.parent} is not for this place" if moved else "")


def do_tools(run: Run) -> Json:
    """Install what is to be ours, link the chosen programs into the workspace, make the build's venv."""
    material, workspace = run.material, run.workspace
    profile, environ = material.request.loaded.profile, material.request.environ
    with run.log("tools").open("a") as record:

        def log(line: str) -> None:
            record.write(line + "\n")
            record.flush()

        ours = [tool.name for tool in material.survey.tools if tool.path is None]
        paths = {tool.name: tool.path for tool in material.survey.tools if tool.path is not None}
        paths |= install(ours, data_dir(environ), environ, log)
        toolkit = obtain_toolkit(
            material.survey.toolkit, str(profile.cuda.toolkit), environ, log, archive=profile.cuda.archive
        )
        if material.survey.tensorrt.origin != "none":
            tensorrt = obtain_tensorrt(
                material.survey.tensorrt, str(profile.tensorrt.version or "") or None, environ, log,
                archive=profile.tensorrt.archive,
            )  # fmt: skip
            if tensorrt is not None:
                paths["tensorrt"] = tensorrt.root
    paths["nvcc"] = toolkit.nvcc
    _link_programs(workspace.bin, {name: paths[name] for name in paths if name not in ("nvcc", "tensorrt")})
    make_venv(run)
    return {"paths": {name: str(path) for name, path in sorted(paths.items())}, "toolkit": toolkit.version}


def _link_programs(directory: Path, programs: dict[str, Path]) -> None:
    """Links under plain names, so that PATH leads to these and to nothing else in their directories."""
    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    for name, path in programs.items():
        (directory / name).symlink_to(path)


def make_venv(run: Run) -> None:
    """The venv that upstream's script runs in and installs its requirements into. Complete when its marker says so."""
    venv, interpreter = run.workspace.venv, run.plan.python.value
    marker = venv / "complete"
    made_from = _venv_is_for(run)
    if marker.is_file() and marker.read_text() == made_from:
        return
    if venv.exists():
        shutil.rmtree(venv)
    for directory in (run.workspace.home, run.workspace.temporary):
        directory.mkdir(parents=True, exist_ok=True)
    made = make_environment(Path(interpreter), venv, run.environment, pass_fds=(run.lock,), on_start=run.note_child)
    if not made.ok:
        cause = cause_in(made.stdout + made.stderr)
        raise HostError(
            f"{interpreter} could not make a virtual environment: {cause.sentence if cause else made.last_line}",
            remedy=cause.remedy
            if cause
            else f"install venv for Python {run.plan.python_version}, or name another Python in the profile",
        )
    marker.write_text(made_from)


def _venv_is_for(run: Run) -> str:
    """A venv has its own path in every script, so that it cannot be moved."""
    return f"{run.plan.python.value} {run.plan.python_version}\n{run.workspace.venv.resolve()}\n"
