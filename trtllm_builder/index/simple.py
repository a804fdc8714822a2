"""The simple repository API: a project's page in HTML and in JSON, the list of projects, and the JSON read back.

Sources: PEP 503 (HTML, names, hash in the fragment), 592 (yank), 658 and 714 (metadata), 691 (JSON), 700 (sizes, times,
versions), 740 (provenance), all of them in
https://packaging.python.org/en/latest/specifications/simple-repository-api/

simple-repository 0.11 has a model and serialisers for this and was not taken: it writes the reason of a yank into an
attribute unescaped, lists versions and projects in another order in every process, knows no provenance, and brings an
HTTP client and a database binding along. Its parser reads our pages in the tests.

A project's JSON page is also the store's only memory of its wheels: what is ours to know stands under ``_trtllm``, as
PEP 700 leaves keys with an underscore to the index.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from trtllm_builder.index.model import STANDINGS, Lock, Needs, Wheel, is_safe_name

API = "1.3"  # PEP 740's
FORM = 1  # of all pages; another number here makes them all anew
_PRIVATE = "_trtllm"
_SHA256, _PLACE = re.compile(r"[0-9a-f]{64}"), re.compile(r"files/[a-z0-9][a-z0-9-]*/[0-9a-f]{16}")


def project_html(project: str, wheels: Sequence[Wheel], root: str) -> str:
    """``root`` leads from the page to the index, such as ``../../``."""
    lines = [_anchor(wheel, root) for wheel in wheels]
    return _page(f"Links for {project}", lines)


def list_html(projects: Iterable[str]) -> str:
    return _page("Simple index", [f'<a href="{escape(name)}/">{escape(name)}</a><br>' for name in projects])


def project_json(project: str, wheels: Sequence[Wheel], root: str) -> str:
    versions = dict.fromkeys(wheel.version for wheel in wheels)
    return _dump(
        {
            "meta": {"api-version": API},
            "name": project,
            "versions": list(versions),
            "files": [_file(wheel, root) for wheel in wheels],
        }
    )


def list_json(projects: Iterable[str]) -> str:
    document = {
        "meta": {"api-version": API},
        "projects": [{"name": name} for name in projects],
        _PRIVATE: {"form": FORM},
    }
    return _dump(document)


def read_list(text: str) -> tuple[tuple[str, ...], int]:
    """The projects of ``list_json``, and the form of all pages. Raises ValueError for anything else."""
    try:
        page = json.loads(text)
        return tuple(str(one["name"]) for one in page["projects"]), int(page[_PRIVATE]["form"])
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("it is no list of projects") from error


def read_project(text: str) -> tuple[Wheel, ...]:
    """The wheels of ``project_json``, whatever its ``root``. Raises ValueError for anything else."""
    try:
        page = json.loads(text)
        return tuple(_wheel(str(page["name"]), one) for one in page["files"])
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("it is no page of a project") from error


def _page(title: str, lines: Sequence[str]) -> str:
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta name="pypi:repository-version" content="{API}">',
            f"<title>{escape(title)}</title></head><body>",
            f"<h1>{escape(title)}</h1>",
            *lines,
            "</body></html>\n",
        )
    )


def _anchor(wheel: Wheel, root: str) -> str:
    attributes = [("href", f"{root}{wheel.url}#sha256={wheel.sha256}")]
    if wheel.requires_python:
        attributes.append(("data-requires-python", wheel.requires_python))
    # PEP 714: the right name, and the one that installers before it look for.
    attributes += [(name, f"sha256={wheel.metadata}") for name in ("data-core-metadata", "data-dist-info-metadata")]
    if wheel.yanked is not None:
        attributes.append(("data-yanked", wheel.yanked))
    if wheel.provenance:
        attributes.append(("data-provenance", f"{root}{wheel.url}.provenance"))
    written = " ".join(f'{name}="{escape(value)}"' for name, value in attributes)
    remark = "" if wheel.standing == "verified" else f" ({STANDINGS[wheel.standing]})"
    return f"<a {written}>{escape(wheel.filename)}</a>{remark}<br>"


def _file(wheel: Wheel, root: str) -> dict[str, object]:
    optional: dict[str, object] = {}
    if wheel.requires_python:
        optional["requires-python"] = wheel.requires_python
    if wheel.provenance:
        optional["provenance"] = f"{root}{wheel.url}.provenance"
    return {
        "filename": wheel.filename,
        "url": root + wheel.url,
        "hashes": {"sha256": wheel.sha256},
        "size": wheel.size,
        "upload-time": wheel.uploaded,
        "core-metadata": {"sha256": wheel.metadata},
        # PEP 691: false, true, or the reason.
        "yanked": wheel.yanked is not None and (wheel.yanked or True),
        **optional,
        _PRIVATE: {
            "version": wheel.version,
            "variant": wheel.variant,
            "standing": wheel.standing,
            "summary": wheel.summary,
            "needs": vars(wheel.needs),
            "lock": wheel.lock and vars(wheel.lock),
            "beside": dict(sorted(wheel.beside.items())),
            **({} if wheel.keep is None else {"keep": wheel.keep}),
        },
    }


def _wheel(project: str, file: dict[str, Any]) -> Wheel:
    ours, yanked = file[_PRIVATE], file["yanked"]
    needs: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in ours["needs"].items()}
    if not is_safe_name(str(file["filename"])) or ours["standing"] not in STANDINGS:
        raise ValueError("it names a file that cannot be")
    wheel = Wheel(
        project=project,
        version=str(ours["version"]),
        filename=str(file["filename"]),
        sha256=str(file["hashes"]["sha256"]),
        size=int(file["size"]),
        uploaded=str(file["upload-time"]),
        metadata=str(file["core-metadata"]["sha256"]),
        requires_python=str(file.get("requires-python", "")),
        standing=ours["standing"],
        summary=str(ours["summary"]),
        needs=Needs(**needs),
        lock=Lock(**ours["lock"]) if ours["lock"] else None,
        beside={str(suffix): str(sha256) for suffix, sha256 in ours["beside"].items()},
        provenance="provenance" in file,
        yanked=None if yanked is False else "" if yanked is True else str(yanked),
        keep=str(ours["keep"]) if "keep" in ours else None,
    )
    if not _SHA256.fullmatch(wheel.sha256) or not _PLACE.fullmatch(wheel.directory) or not wheel.age:
        raise ValueError("it names a place that cannot be")
    return wheel


def _dump(document: object) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"
