"""``trtllm-build doctor``: why does it hang or fail here, and will it work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trtllm_builder.doctor.wheels import WheelFacts
    from trtllm_builder.errors import BuilderError
    from trtllm_builder.plan.model import Plan


def doctor(
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", help="Can this profile be built here? A name, or a path.")
    ] = None,
    wheel: Annotated[Path | None, typer.Option("--wheel", help="Will this wheel import and serve here?")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
    profile_dirs: Annotated[
        list[Path] | None, typer.Option("--profile-dir", help="Look for profiles here first.")
    ] = None,
) -> None:
    """Look at this machine and say what will not work, and what to do about it. Exit 3 when a failure was found."""
    import json
    import os

    from trtllm_builder.cli.request import make_request
    from trtllm_builder.doctor.cure import candidates, cure, mirrors_of
    from trtllm_builder.doctor.examine import examine
    from trtllm_builder.doctor.gather import Asked, start
    from trtllm_builder.errors import BuilderError, HostError
    from trtllm_builder.plan.make import make_plan
    from trtllm_builder.profile.model import UPSTREAM_URL
    from trtllm_builder.verify.audit import require_file

    request = None
    if profile is not None:
        request = make_request(
            profile=profile,
            source=None,
            workspace=None,
            out=Path("dist"),
            overrides=None,
            jobs=None,
            profile_dirs=profile_dirs,
        )
    if wheel is not None:
        require_file(wheel)
    wanted = request.loaded if request else None
    known = candidates(os.environ)
    asked = Asked(
        environ=dict(os.environ),
        python=wanted.profile.python if wanted else "host",
        cuda_root=wanted.profile.cuda.root if wanted else "auto",
        cuda_range=str(wanted.profile.cuda.toolkit) if wanted else "",
        urls=tuple(
            url
            for url in (wanted.profile.source.url if wanted else UPSTREAM_URL, os.environ.get("PIP_INDEX_URL"))
            if url and "://" in url and not url.startswith("file:")
        ),
        mirrors=mirrors_of(wanted) if wanted else tuple(dict.fromkeys(url for one in known for url in one.mirrors)),
        try_mpirun=wheel is not None,
    )

    def find_plan() -> Plan | BuilderError | None:
        try:
            return make_plan(request)[0] if request else None
        except BuilderError as error:
            return error

    gathering = start(asked, plan=find_plan)
    found = _wheel(wheel) if wheel is not None else None
    facts, plan = gathering.finish()
    answer = examine(facts, cure(facts, known), python=asked.python, profile=profile, plan=plan, wheel=found)
    if as_json:
        typer.echo(json.dumps(answer.to_json(), indent=2))
    else:
        for line in answer.lines():
            typer.echo(line)
    if answer.failed:
        raise typer.Exit(HostError.exit_code)


def _wheel(path: Path) -> WheelFacts | BuilderError:
    import os

    from trtllm_builder.doctor.wheels import read_wheel_facts
    from trtllm_builder.errors import VerifyError
    from trtllm_builder.verify.audit import audit
    from trtllm_builder.verify.expect import Expectation

    try:
        return read_wheel_facts(audit(path, Expectation(), cross_check=False), os.environ)
    except VerifyError as error:
        return error
