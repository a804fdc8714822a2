"""The Python files of one package, from a directory or out of an archive, parsed when they are asked for."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterable, Mapping

from trtllm_builder.upstream.audit.survey import Survey, TooDeep, survey
from trtllm_builder.upstream.tree import Tree

PACKAGE = "tensorrt_llm"


class Package:
    """``paths`` are relative, with ``/``; ``read`` gives a file's bytes, or None with the reason in ``notes``."""

    def __init__(self, paths: Iterable[str], read: Callable[[str], bytes | None]) -> None:
        self.paths = frozenset(path for path in paths if path.endswith(".py"))
        self._read = read
        self._parsed: dict[str, ast.Module | None] = {}
        self._surveyed: dict[str, Survey] = {}
        self.notes: dict[str, str] = {}
        """Files that are there and could not be understood, each with the reason."""

    @classmethod
    def of_tree(cls, tree: Tree, replaced: Mapping[str, bytes] | None = None) -> Package:
        """The package below a checkout or a site-packages directory; ``replaced`` is what a patch would leave."""
        instead = dict(replaced or {})
        paths = {path for path, _size in tree.files(PACKAGE)} | set(instead)
        return cls(paths, lambda path: instead[path] if path in instead else tree.read(path))

    def file_of(self, module: str) -> str | None:
        """The file that holds a dotted module; None when it is no Python file of the package."""
        base = module.replace(".", "/")
        return next((path for path in (f"{base}/__init__.py", f"{base}.py") if path in self.paths), None)

    def below(self, prefix: str) -> tuple[str, ...]:
        """Dotted names of all modules that begin with ``prefix``, which ends anywhere in a name."""
        base = prefix.replace(".", "/")
        found = sorted(path for path in self.paths if path.startswith(base))
        return tuple(path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in found)

    def parsed(self, path: str) -> ast.Module | None:
        """The file's syntax; None, with a note, for what is not Python or is nested too deeply to follow."""
        if path not in self._parsed:
            self._parsed[path] = self._parse(path)
        return self._parsed[path]

    def _parse(self, path: str) -> ast.Module | None:
        data = self._read(path)
        if data is None:
            self.notes[path] = "it could not be read"
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = ast.parse(data, path)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            self.notes[path] = f"it is not valid Python (line {getattr(error, 'lineno', None) or 1})"
            return None
        try:
            self._surveyed[path] = survey(module)
        except TooDeep:
            self.notes[path] = "it is nested too deeply to be followed"
            return None
        return module

    def survey(self, path: str) -> Survey:
        """What one look at a file that was parsed found."""
        return self._surveyed[path]
