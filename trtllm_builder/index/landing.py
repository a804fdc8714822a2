"""The index's page for people: which wheel is for whom, what it needs, and the line that installs it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from trtllm_builder.index.model import STANDINGS, Index, Wheel
from trtllm_builder.text import clean
from trtllm_builder.units import format_size

if TYPE_CHECKING:
    from jinja2 import Template

_SHOWN = 3  # versions of a variant in full; its tree lists all
# What people call a compute capability (NVIDIA's table of GPUs and their compute capability).
_GPUS = {
    "70": "V100",
    "75": "T4, RTX 20",
    "80": "A100, A30",
    "86": "RTX 30, A10, A40, RTX A6000",
    "87": "Jetson Orin",
    "89": "RTX 40 (4090), L4, L40, L40S, RTX 6000 Ada",
    "90": "H100, H200, H20, GH200",
    "100": "B200, GB200",
    "103": "B300, GB300",
    "110": "Jetson Thor",
    "120": "RTX 50 (5090), RTX PRO 6000 Blackwell",
    "121": "GB10 (DGX Spark)",
}
# The address of this page is known to the browser alone: the same tree may be served from many places.
_SCRIPT = """
const base = new URL(".", location.href).href.replace(/\\/$/, "");
for (const one of document.querySelectorAll(".base")) one.textContent = base;
"""
_BESIDE = {
    ".report.html": "report",
    ".record.json": "record",
    ".lock.json": "lock",
    ".intoto.json": "provenance",
    ".intoto.jsonl": "signed provenance",
    ".provenance": "attestations",
}


@dataclass(frozen=True)
class Offer:
    """A wheel of ours as the page shows it. ``url`` is relative to the index; links are (name, URL)."""

    wheel: Wheel
    url: str
    tags: str
    date: str
    size: str
    links: tuple[tuple[str, str], ...]
    standing: str


@dataclass(frozen=True)
class Variant:
    """``name`` is empty for wheels of ours that carry no label. ``newest`` are of one version, for several Pythons;
    ``older`` more than those and ``earlier`` are in its tree."""

    project: str
    name: str
    tree: str
    cuda: str
    gpus: tuple[tuple[str, str], ...]
    newest: tuple[Offer, ...]
    earlier: tuple[Offer, ...]
    withdrawn: tuple[Wheel, ...]
    older: int


def landing_page(index: Index) -> str:
    """One page that needs nothing else; all that comes from wheels is escaped, and rid of what is not to be seen."""
    variants = _variants(index)
    others = {name: [w for w in wheels if not _is_ours(w)] for name, wheels in index.projects.items()}
    return _template().render(
        variants=variants,
        others=[_other(name, wheels) for name, wheels in others.items() if wheels],
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not loaded by who only reads an index
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "script": Markup(_SCRIPT),  # noqa: S704 - a constant of ours
        "script_hash": base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode(),
    }
    return environment.get_template("landing.html.jinja")


def _variants(index: Index) -> list[Variant]:
    groups: dict[tuple[str, str], list[Wheel]] = {}
    for project, wheels in index.projects.items():
        for wheel in wheels:
            if _is_ours(wheel):
                groups.setdefault((project, wheel.variant), []).append(wheel)
    return [_variant(project, name, wheels) for (project, name), wheels in sorted(groups.items())]


def _is_ours(wheel: Wheel) -> bool:
    return bool(wheel.variant) or ".record.json" in wheel.beside


def _variant(project: str, name: str, wheels: list[Wheel]) -> Variant:
    """``wheels`` are in order, the newest version last."""
    standing = [wheel for wheel in wheels if wheel.yanked is None]
    versions = list(dict.fromkeys(wheel.version for wheel in reversed(standing)))[:_SHOWN]
    offers = [_offer(wheel) for version in versions for wheel in standing if wheel.version == version]
    return Variant(
        project=project,
        name=name,
        tree=f"v/{name}/simple/" if name else "simple/",
        cuda=_cuda(name),
        gpus=tuple((target, _GPUS.get(number, "")) for target, number in _targets(name, offers)),
        newest=tuple(offer for offer in offers if offer.wheel.version == versions[0]),
        earlier=tuple(offer for offer in offers if offer.wheel.version != versions[0]),
        withdrawn=tuple(wheel for wheel in reversed(wheels) if wheel.yanked is not None)[:_SHOWN],
        older=len(standing) - len(offers),
    )


def _targets(name: str, offers: Iterable[Offer]) -> list[tuple[str, str]]:
    """(sm_89, 89) of the label; without one, of what the newest wheel holds."""
    labelled = re.findall(r"sm(\d+)", name)
    if labelled:
        return [(f"sm_{number}", number) for number in labelled]
    held = next((offer.wheel.needs.gpus for offer in offers), ())
    return [(target, re.sub(r"\D", "", target)) for target in held]


def _cuda(name: str) -> str:
    """``12.9`` of ``cu129-sm89``."""
    match = re.search(r"cu(\d+)(\d)\b", name)
    return f"{match[1]}.{match[2]}" if match else ""


def _offer(wheel: Wheel) -> Offer:
    url = wheel.url
    tags = parse_wheel_filename(wheel.filename)[3]
    return Offer(
        wheel=wheel,
        url=url,
        tags=", ".join(sorted(f"{tag.interpreter} {tag.platform}" for tag in tags)),
        date=wheel.uploaded[:10],
        size=format_size(wheel.size),
        links=tuple((name, url + suffix) for suffix, name in _BESIDE.items() if suffix in wheel.beside),
        standing=STANDINGS[wheel.standing],
    )


def _other(name: str, wheels: Sequence[Wheel]) -> tuple[str, str, int, str]:
    """Project, newest version, number of files, and what is known of the least known."""
    least = max((wheel.standing for wheel in wheels), key=list(STANDINGS).index)
    return name, wheels[-1].version, len(wheels), STANDINGS[least]
