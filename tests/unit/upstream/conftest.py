"""Small trees of our own text in the shape of upstream's generations: pieces.yaml, put together by generations.yaml."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

_HERE = Path(__file__).parent
_PIECES: dict[str, dict[str, str]] = {
    **yaml.safe_load((_HERE / "pieces.yaml").read_text()),
    **yaml.safe_load((_HERE / "package_pieces.yaml").read_text()),
}
GENERATIONS: dict[str, dict[str, Any]] = yaml.safe_load((_HERE / "generations.yaml").read_text())["generations"]
_PLACES = ("top", "main", "build", "pack")
_REGISTER = {
    "calls": "    parser.add_argument({flag})\n",
    "helper": "    flag(parser, {flag})\n",
}


def _flat(lists: Iterable[list[str]]) -> list[str]:
    return [item for each in lists for item in each]


def _text(name: str) -> str:
    piece = _PIECES[name]
    return _PIECES[piece["like"]]["text"] if "like" in piece else piece["text"]


def _flags(generation: dict[str, Any]) -> str:
    flags, how = _flat(generation["flags"]), generation["register"]
    if how == "loop":
        rows = "".join(f"        {_row(flag)},\n" for flag in flags)
        return f"    for names, keywords in [\n{rows}    ]:\n        parser.add_argument(*names, **keywords)\n"
    return "".join(_REGISTER[how].format(flag=flag) for flag in flags)


def _row(flag: str) -> str:
    """A flag's call as a pair: its names, and its keywords as a dictionary."""
    call = ast.parse(f"f({flag})", mode="eval").body
    assert isinstance(call, ast.Call)
    names = "".join(f"{ast.unparse(one)}, " for one in call.args)
    return f"(({names}), {{{', '.join(f'{one.arg!r}: {ast.unparse(one.value)}' for one in call.keywords)}}})"


def script(name: str) -> str:
    """A generation's build script: its pieces in the order in which a script runs."""
    generation = GENERATIONS[name]
    pieces = _flat(generation["pieces"])

    def part(place: str, indent: str = "    ") -> str:
        return "".join("\n" + textwrap.indent(_text(one), indent) for one in pieces if _PIECES[one]["at"] == place)

    helper = "\ndef flag(parser, *names, **keywords):\n    parser.add_argument(*names, **keywords)\n"
    return (
        part("top", "")
        + (helper if generation["register"] == "helper" else "")
        + "\ndef main(*, extra_cmake_vars=(), job_count=None, **rest):\n    cmake_def_args = []\n"
        + part("main") + part("build") + part("pack")
        + "\ndef add_arguments(parser):\n" + _flags(generation)
        + "\nif __name__ == '__main__':\n    parser = ArgumentParser()\n    add_arguments(parser)\n"
    )  # fmt: skip


def files_of(name: str) -> dict[str, str]:
    """Everything of a generation but its script: path -> text."""
    found: dict[str, str] = {"tensorrt_llm/version.py": f'__version__ = "{GENERATIONS[name]["version"]}"\n'}
    for one in _flat(GENERATIONS[name]["pieces"]):
        if _PIECES[one]["at"] not in _PLACES:
            assert _PIECES[one]["at"] not in found, f"{name}: two pieces for {_PIECES[one]['at']}"
            found[_PIECES[one]["at"]] = _text(one)
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Writes a checkout: ``tree({"path": text or bytes})``; a build script and version.py are added when not given.
    ``whole`` adds the generation's other files too."""

    def write(
        files: dict[str, str | bytes] | None = None,
        generation: str = "1.2",
        *,
        whole: bool = False,
        name: str = "checkout",
    ) -> Path:
        root = tmp_path / name
        contents: dict[str, str | bytes] = {
            **(files_of(generation) if whole else {"tensorrt_llm/version.py": '# a comment\n__version__ = "1.2.0"\n'}),
            "scripts/build_wheel.py": script(generation),
            **(files or {}),
        }
        for relative, content in contents.items():
            path = root / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return write


@pytest.fixture
def generations() -> tuple[str, ...]:
    return tuple(GENERATIONS)


@pytest.fixture
def flags_of() -> Callable[[str], list[str]]:
    """The long spelling of every flag that a generation's script registers."""
    return lambda name: [flag.split(", ")[0].strip('"') for flag in _flat(GENERATIONS[name]["flags"])]
