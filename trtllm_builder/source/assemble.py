"""One repository after the other into a new tree: work tree, LFS content, then its submodules the same way."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from trtllm_builder.errors import SourceError
from trtllm_builder.source.cache import Cache
from trtllm_builder.source.checkout import check_out
from trtllm_builder.source.failure_rules import AGAIN
from trtllm_builder.source.failures import TransportError
from trtllm_builder.source.lfs import Pointer, Store, find_pointers
from trtllm_builder.source.lfs_client import fetch_objects
from trtllm_builder.source.model import SourceWant
from trtllm_builder.source.records import Placed
from trtllm_builder.source.servers import Servers
from trtllm_builder.source.urls import Url
from trtllm_builder.source.web import Client
from trtllm_builder.text import clean

_DEEPEST = 8


@dataclass
class Assembly:
    """Gathers what was done while the tree is made; paths are relative to ``root``."""

    servers: Servers
    client: Client
    want: SourceWant
    root: Path
    submodules: list[tuple[str, str]] = field(default_factory=list)
    served: list[tuple[str, str]] = field(default_factory=list)
    objects: list[Placed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, url: Url, commit: str, ref: str | None, base: str = "", depth: int = 0) -> None:
        """Puts ``commit`` of ``url`` at ``base`` below the root, with all that it brings. Raises SourceError."""
        directory = self.root / base

        def use(cache: Cache, commit: str) -> None:
            shutil.rmtree(directory, ignore_errors=True)
            check_out(cache, commit, directory, timeout=self.servers.left)

        found = self.servers.provide(url, commit=commit, ref=ref, use=use)
        self.served.append((url.shown, found.served_by))
        self.notes += found.notes
        if self.want.lfs:
            self._fill(find_pointers(directory), url, base)
        if self.want.submodules:
            self._add_submodules(url, base, depth)

    def _add_submodules(self, url: Url, base: str, depth: int) -> None:
        # GitPython starts a git when it is imported, which a command that fetches nothing need not pay for.
        from trtllm_builder.source.submodules import read_submodules

        listed = read_submodules(self.root / base, url, self.servers.git)
        self.notes += listed.notes
        for submodule in listed.wanted:
            below = f"{base}/{submodule.path}" if base else submodule.path
            if depth == _DEEPEST:
                raise SourceError(f"{clean(below)} lies over {_DEEPEST} submodules deep", remedy="check .gitmodules")
            target = self.root / below
            # Where names ignore case (a Windows disk under WSL), a link A can stand in for the directory a.
            if target.is_symlink() or target.resolve() != self.root.resolve() / below:
                what = f"the submodule {clean(below)} would lie behind a symbolic link"
                raise SourceError(what, remedy="do not build this source")
            self.submodules.append((below, submodule.commit))
            self.add(submodule.url, submodule.commit, None, below, depth + 1)

    def _fill(self, pointers: tuple[Pointer, ...], url: Url, base: str) -> None:
        if not pointers:
            return
        store = Store(self.servers.cache / "lfs")
        served_by = fetch_objects(pointers, url, store, self.servers, self.client)
        self.served.append((f"{url.shown} (LFS)", served_by))
        for pointer in pointers:
            try:
                store.place(pointer, self.root / base)
            except TransportError as error:
                if error.kind != "corrupt":
                    raise
                fetch_objects((pointer,), url, store, self.servers, self.client)
                store.place(pointer, self.root / base)
            path = f"{base}/{pointer.path}" if base else pointer.path
            status = (self.root / path).stat()
            self.objects.append(Placed(path, pointer.oid, status.st_size, status.st_mtime_ns))

    def check_pointers(self) -> None:
        """No compiler shall see a pointer: raises SourceError for one that is left, or notes them when LFS is off."""
        left = find_pointers(self.root)
        if left and self.want.lfs:
            raise TransportError(
                "content", f"{clean(left[0].path)} is still an LFS pointer after fetching", remedy=AGAIN
            )
        if left:
            self.notes.append(f"LFS is off: {len(left)} files are only pointers, first {clean(left[0].path)}")
