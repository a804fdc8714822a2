"""``trtllm-build profiles``: list, show, validate, and the schema for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trtllm_builder.cli.commands import SETTINGS

if TYPE_CHECKING:
    from trtllm_builder.errors import ProfileError
    from trtllm_builder.profile.load import LoadedProfile

app = typer.Typer(no_args_is_help=True, add_completion=False, **SETTINGS, help="List, show and check profiles.")

Dirs = Annotated[
    list[Path],
    typer.Option(
        "--profile-dir",
        metavar="DIR",
        exists=True,
        file_okay=False,
        help="Look for profiles here first; may be repeated.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")]


def _search_path(dirs: list[Path]) -> list[Path]:
    import os

    from trtllm_builder.profile.load import search_path

    return search_path(dirs, os.environ)


def _echo_json(document: dict[str, object]) -> None:
    typer.echo(json.dumps({"schema": 1, **document}, indent=2))


@app.command("list")
def list_(profile_dir: Dirs = [], as_json: Json = False) -> None:  # noqa: B006 - typer copies it
    """Profiles by name, with what each is for; broken and hidden ones are marked."""
    from trtllm_builder.profile.load import list_profiles

    listed = list_profiles(_search_path(profile_dir))
    if as_json:
        _echo_json(
            {
                "profiles": [
                    {
                        "name": one.name,
                        "path": str(one.path),
                        "description": one.description,
                        "fault": one.fault.to_json() if one.fault else None,
                        "hidden_by": str(one.hidden_by) if one.hidden_by else None,
                    }
                    for one in listed
                ]
            }
        )
        return
    width = max((len(one.name) for one in listed), default=0)
    for one in listed:
        about = f"NOT VALID: {one.fault}" if one.fault else " ".join(one.description.split())
        hidden = f"  ({one.path} is hidden by {one.hidden_by})" if one.hidden_by else ""
        typer.echo(f"{one.name:<{width}}  {about}{hidden}")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A profile's name, or a path with / in front or .yaml at the end.")],
    resolved: Annotated[bool, typer.Option("--resolved", help="Every value, with where it came from.")] = False,
    overrides: Annotated[
        list[str], typer.Option("--set", metavar="PATH=VALUE", help="Change a value, as in the build.")
    ] = [],  # noqa: B006 - typer copies it
    profile_dir: Dirs = [],  # noqa: B006 - typer copies it
    as_json: Json = False,
) -> None:
    """The profile's file; with --resolved (or --json) all values, defaults and inherited ones too."""
    from trtllm_builder.profile.explain import render
    from trtllm_builder.profile.load import load_profile, locate
    from trtllm_builder.profile.marks import read_bytes
    from trtllm_builder.text import clean, redact

    dirs = _search_path(profile_dir)
    if not (resolved or as_json or overrides):
        path = locate(name, profile_dirs=dirs)
        typer.echo(f"# {path}")
        typer.echo(clean(redact(read_bytes(path).decode("utf-8", "replace"))), nl=False)
        return
    loaded = load_profile(name, profile_dirs=dirs, overrides=overrides)
    if as_json:
        _echo_json(_shown(loaded))
        return
    for note in loaded.notes:
        typer.echo(f"# note: {note}")
    typer.echo(render(loaded.profile, below=str(Path.cwd())), nl=False)


def _shown(loaded: LoadedProfile) -> dict[str, object]:
    from trtllm_builder.profile.explain import resolved

    return {
        "name": loaded.profile.name,
        "path": str(loaded.path),
        "chain": [str(path) for path in loaded.chain],
        "shadowed": [{"name": one.name, "used": str(one.used), "hidden": str(one.hidden)} for one in loaded.shadowed],
        "notes": list(loaded.notes),
        "values": [
            {"path": ".".join(one.path), "value": one.value, "origin": one.origin} for one in resolved(loaded.profile)
        ],
    }


@app.command()
def validate(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files, or names on the search path.")],
    profile_dir: Dirs = [],  # noqa: B006 - typer copies it
    as_json: Json = False,
) -> None:
    """Check profiles, parts (in base/) and mirror sets (in mirrors/); every fault is named with its place."""
    import os

    from trtllm_builder.errors import ProfileError
    from trtllm_builder.plan.make import check_set_names
    from trtllm_builder.profile.load import check_file, load_profile

    dirs = _search_path(profile_dir)
    files: list[dict[str, object]] = []
    errors: list[ProfileError] = []
    for path in paths:
        try:
            file, kind = check_file(path, profile_dirs=dirs)
            if kind == "profile":
                check_set_names(load_profile(path, profile_dirs=dirs).profile, os.environ)
            files.append({"path": str(file), "kind": kind, "valid": True, "fault": None})
            if not as_json:
                typer.echo(f"{file}: valid ({kind})")
        except ProfileError as error:
            files.append({"path": path, "kind": None, "valid": False, "fault": error.to_json()})
            errors.append(error)
    if as_json:
        _echo_json({"files": files})
        if errors:
            raise typer.Exit(ProfileError.exit_code)
    elif errors:
        raise _together(errors)


def _together(errors: list[ProfileError]) -> ProfileError:
    from trtllm_builder.errors import BuilderError, ProfileError

    rest: list[BuilderError] = [*errors[0].others]
    for error in errors[1:]:
        rest += [error, *error.others]
    return ProfileError(errors[0].what, remedy=errors[0].remedy, where=errors[0].where, others=tuple(rest))


@app.command()
def schema(
    mirrors: Annotated[bool, typer.Option("--mirrors", help="The schema of mirror sets.")] = False,
) -> None:
    """The JSON Schema of profiles, for editors."""
    from trtllm_builder.profile.schema import schema_text

    typer.echo(schema_text("mirrors" if mirrors else "profile"), nl=False)
