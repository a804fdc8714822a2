"""The Python files of what was handed over, from a directory or out of an archive, parsed when they are asked for."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping

from trtllm_builder.upstream.audit.scripts import Script, members, scripts
from trtllm_builder.upstream.audit.survey import Survey, TooDeep, survey
from trtllm_builder.upstream.tree import Tree

PACKAGE = "tensorrt_llm"


class Package:
    """``paths`` are relative, with ``/``; ``read`` gives a file's bytes, or None with the reason in ``notes``; ``more``
    the paths of another package that lies beside, asked for when it is imported. ``serve`` is what ``trtllm-serve`` is
    said to run."""

    def __init__(
        self,
        paths: Iterable[str],
        read: Callable[[str], bytes | None],
        more: Callable[[str], Iterable[str]] = lambda top: (),
        serve: tuple[Script, ...] = (),
    ) -> None:
        self.paths = {path for path in paths if path.endswith(".py")}
        self.serve = serve
        self._read = read
        self._more = more
        self._owned = dict.fromkeys((path.split("/")[0].removesuffix(".py") for path in self.paths), True)
        self._files: dict[str, str | None] = {}
        self._parsed: dict[str, ast.Module | None] = {}
        self._surveyed: dict[str, Survey] = {}
        self.notes: dict[str, str] = {}
        """Files that are there and could not be understood, each with the reason."""

    @classmethod
    def of_tree(cls, tree: Tree) -> Package:
        """The package below a checkout or a site-packages directory.

        Where other distributions lie too, what belongs to it is what its RECORD names; elsewhere all that is there.
        """
        ours = members(tree)

        def more(top: str) -> Iterable[str]:
            if not top.isidentifier() or (ours is not None and top not in ours):
                return ()
            module = [f"{top}.py"] if (tree.root / f"{top}.py").is_file() else []
            return (*module, *(path for path, _size in tree.files(top)))

        return cls((path for path, _size in tree.files(PACKAGE)), tree.read, more, scripts(tree))

    def patched(self, replaced: Mapping[str, bytes]) -> Package:
        """The same as a patch would leave it. What the patch leaves alone is not parsed again."""
        after = Package(
            self.paths | set(replaced),
            lambda path: replaced[path] if path in replaced else self._read(path),
            self._more,
            self.serve,
        )
        after._parsed = {path: module for path, module in self._parsed.items() if path not in replaced}
        after._surveyed = {path: found for path, found in self._surveyed.items() if path not in replaced}
        after.notes = {path: why for path, why in self.notes.items() if path not in replaced}
        return after

    def owns(self, top: str) -> bool:
        """Whether a top-level module or package, by its name, was handed over."""
        if top not in self._owned:
            found = () if top in sys.stdlib_module_names else self._more(top)
            found = {path for path in found if path.endswith(".py")}
            self.paths |= found
            self._owned[top] = bool(found)
        return self._owned[top]

    def file_of(self, module: str) -> str | None:
        """The file that holds a dotted module; None when it is no Python file of the package."""
        if module not in self._files:
            base = module.replace(".", "/")
            owned = self.owns(module.split(".")[0])
            paths = (f"{base}/__init__.py", f"{base}.py") if owned else ()
            self._files[module] = next((path for path in paths if path in self.paths), None)
        return self._files[module]

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
