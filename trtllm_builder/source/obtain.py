"""A wanted commit into a workspace, in a tree that takes its name only when it is whole."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from trtllm_builder.errors import SourceError
from trtllm_builder.source.assemble import Assembly
from trtllm_builder.source.checkout import changed_files
from trtllm_builder.source.digest import file_digest
from trtllm_builder.source.failures import TransportError, os_errors
from trtllm_builder.source.git import Git, find_git
from trtllm_builder.source.model import ORIGINAL, Checkout, Existing, Log, SourceWant, quiet
from trtllm_builder.source.records import GitTree, Placed, partial_path, read_record, write_record
from trtllm_builder.source.refs import check_ref, is_commit
from trtllm_builder.source.servers import Servers
from trtllm_builder.source.urls import Url, parse_url
from trtllm_builder.source.web import Client
from trtllm_builder.text import clean


def obtain(
    want: SourceWant,
    *,
    cache: Path,
    destination: Path,
    environ: Mapping[str, str],
    deadline: float,
    log: Log = quiet,
    existing: Existing = "keep",
    offline: bool = False,
) -> Checkout:
    """``want`` as a checkout of its own at ``destination``; what several can share lies in ``cache``.

    ``deadline`` is in seconds, for everything together. With ``existing="keep"`` a checkout of the same want stays as
    it is (without network when the commit was given), ``dirty`` when source files in it were changed; one of another
    commit is replaced unless it is dirty. ``"reset"`` always makes it anew, from the cache where that has it. The
    caller sees to it that nobody else uses ``destination``. Raises SourceError, or HostError for a missing git or a
    busy cache.
    """
    git = find_git(environ)
    url, pin = parse_url(want.url), _pin(want)
    servers = Servers(git, cache, want.mirrors, time.monotonic() + deadline, log, offline)
    notes: list[str] = []
    resolved_by = None
    if not pin:
        found = servers.provide(url, commit=None, ref=want.ref, use=lambda _cache, _commit: None)
        resolved_by = found.served_by
        notes += found.notes
        if resolved_by != ORIGINAL:
            notes.append(f"{want.ref} is not pinned and was resolved by {resolved_by}, so that server was trusted")
    commit = pin or found.commit
    with os_errors(f"preparing {destination}"):
        present = _present(destination, git, url, commit, want, existing)
        if present:
            return _checkout(destination, want, *present, notes)
        assembly = Assembly(servers, Client.of(environ), want, partial_path(destination), notes=notes)
        _assemble(assembly, url, commit, want.ref if want.commit else None)
        if resolved_by:
            assembly.served[0] = (url.shown, resolved_by)
        made = GitTree(
            url=url.shown,
            commit=commit,
            lfs=want.lfs,
            with_submodules=want.submodules,
            served=tuple(assembly.served),
            submodules=tuple(assembly.submodules),
            objects=tuple(assembly.objects),
            notes=tuple(assembly.notes),
        )
        write_record(destination, made.to_json(), complete=False)
        _take_name(assembly.root, destination)
        write_record(destination, made.to_json(), complete=True)
    return _checkout(destination, want, made, (), [])


def _pin(want: SourceWant) -> str | None:
    check_ref(want.ref)
    if want.commit is not None and not is_commit(want.commit):
        raise SourceError(f"{clean(want.commit)[:80]} is not a commit", remedy="give all 40 digits, in lower case")
    return want.commit or (want.ref if is_commit(want.ref) else None)


def _present(
    destination: Path, git: Git, url: Url, commit: str, want: SourceWant, existing: Existing
) -> tuple[GitTree, tuple[str, ...]] | None:
    """The checkout that may stay and what in it was changed; None when one has to be made."""
    if not destination.is_symlink() and (not destination.exists() or not any(destination.iterdir())):
        return None
    record = read_record(destination)
    if record is None or destination.is_symlink():
        what = f"{destination} exists and was not made by this tool"
        raise SourceError(what, remedy="remove it, or choose another --workspace")
    tree = GitTree.from_json(record) if record["complete"] else None
    if tree is None or existing == "reset":
        return None
    modified = _modified(destination, git, tree)
    wanted = (url.shown, commit, want.lfs, want.submodules)
    if (tree.url, tree.commit, tree.lfs, tree.with_submodules) == wanted:
        return tree, modified
    if modified:
        some = clean(", ".join(modified[:3])) + (" ..." if len(modified) > 3 else "")
        what = f"{destination} holds {tree.commit[:12]}, not {commit[:12]}, and files in it were changed ({some})"
        raise SourceError(what, remedy="keep what you need of them, then run again with --rebuild")
    return None


def _modified(destination: Path, git: Git, tree: GitTree) -> tuple[str, ...]:
    placed = {one.path: one for one in tree.objects}
    changed = []
    for base in ("", *(path for path, _ in tree.submodules)):
        if (destination / base / ".git").is_dir():
            changed += [f"{base}/{name}" if base else name for name in changed_files(git, destination / base)]
        else:
            changed.append(base)
    return tuple(name for name in changed if name not in placed or not _untouched(destination / name, placed[name]))


def _untouched(path: Path, placed: Placed) -> bool:
    # git calls every file from LFS changed, for it compares with the pointer.
    if path.is_symlink() or not path.is_file():
        return False
    status = path.stat()
    return status.st_size == placed.size and (status.st_mtime_ns == placed.mtime or file_digest(path) == placed.oid)


def _assemble(assembly: Assembly, url: Url, commit: str, ref: str | None) -> None:
    assembly.root.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(assembly.root, ignore_errors=True)
    try:
        assembly.add(url, commit, ref)
        assembly.check_pointers()
    except TransportError as error:
        if error.kind == "disk-full":
            # The rest of the disk may be needed to put things right.
            shutil.rmtree(assembly.root, ignore_errors=True)
        raise


def _take_name(fresh: Path, destination: Path) -> None:
    old = destination.with_name(f".{destination.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if destination.exists():
        destination.replace(old)
    fresh.replace(destination)
    shutil.rmtree(old, ignore_errors=True)


def _checkout(
    destination: Path, want: SourceWant, tree: GitTree, modified: tuple[str, ...], notes: list[str]
) -> Checkout:
    objects = tuple((one.path, one.oid) for one in tree.objects)
    content = json.dumps([tree.commit, sorted(tree.submodules), sorted(objects)])
    return Checkout(
        path=destination,
        commit=tree.commit,
        ref=want.ref,
        url=tree.url,
        served_by=tree.served[0][1],
        pinned=_pin(want) is not None,
        submodules=tree.submodules,
        lfs_objects=objects,
        dirty=bool(modified),
        modified=modified,
        digest=f"sha256:{hashlib.sha256(content.encode()).hexdigest()}",
        served=tree.served,
        notes=tuple(dict.fromkeys([*notes, *tree.notes])),
    )
