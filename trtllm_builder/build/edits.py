"""Files that were changed by hand: neither as obtained, nor as our patches left them, nor a product of upstream's
build; those that CMake fetched by itself too (populated.py).

Before patches are written the journal gets a ``patching`` event with what each file will hold then, and the originals
are kept beside the checkout. So it is known at any time, also after a kill between two files, which difference is
ours, and patches can be taken back when they changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from trtllm_builder.build.journal import Json, digest
from trtllm_builder.build.populated import populated_edits
from trtllm_builder.build.workspace import Workspace
from trtllm_builder.errors import PatchError, Where
from trtllm_builder.patching.results import Change
from trtllm_builder.patching.sets import load_set, set_dirs
from trtllm_builder.patching.tree import STAGING
from trtllm_builder.plan.request import Request
from trtllm_builder.source.edits import GONE, changed, digest_of, tree_identity
from trtllm_builder.text import clean
from trtllm_builder.upstream.generated import is_product
from trtllm_builder.upstream.model import Probe

_SHOWN = 3
# For CUDA 12 some releases move comment signs in it, at every packaging.
REQUIREMENTS = "requirements.txt"
MADE = ".made"
# In a checkout this is a product of upstream's build, and so no edit.
_OF_CMAKE = "build/"


def patches_key(request: Request) -> str:
    """Changes whenever the same checkout would be patched differently."""
    profile = request.loaded.profile
    directories = set_dirs((), request.environ)
    sets = [(name, load_set(name, directories).digest) for name in profile.patches]
    options = {name: [one.value, one.if_declared] for name, one in profile.build.cmake.items()}
    return digest([sets, options])


def find_edits(workspace: Workspace, environ: Mapping[str, str], *, patched: bool = False) -> dict[str, str]:
    """All files changed by hand, with the sha256 of what they hold now, empty for those that were taken away: those of
    the checkout relative to that, others to the workspace, as ``build/_deps/...``.

    While patches are still to be applied, or applied again, a file without them is none of these; once the checkout is
    ``patched`` it is. Raises SourceError, or HostError when git is missing.
    """
    return {**checkout_edits(workspace, environ, patched=patched), **populated_edits(workspace, environ)}


def checkout_edits(workspace: Workspace, environ: Mapping[str, str], *, patched: bool = False) -> dict[str, str]:
    """Those of the checkout alone."""
    now = changed(workspace.source, environ)
    last = _last(workspace)
    before: dict[str, str] = last["before"] if last else {}
    after: dict[str, str] = last["after"] if last else {}
    bare: dict[str, str] = last["originals"] if last and not patched else {}
    names = {name for name in now if now[name] not in (after.get(name), bare.get(name)) and not is_product(name)}
    names |= {name for name in after if patched and name not in now}
    names |= {name for name in before if name in now}
    # What a kill in the middle of patching left; the next patching takes it away.
    names -= {name for name in names if name.startswith(f"{STAGING}/")}
    if _is_rewritten(workspace):
        names.discard(REQUIREMENTS)
    return {name: now.get(name) or digest_of(workspace.source / name) for name in sorted(names)}


def note_edits(workspace: Workspace, edits: Mapping[str, str]) -> None:
    """Write down what is edited now, and have what was edited before and is not so any more compiled again: a file that
    is put back with its old time is older than the object which was made of the edit."""
    events = (event for event in reversed(workspace.journal.events()) if event["event"] in ("edits", "rebuild"))
    before: dict[str, str] = next(events, {}).get("files", {})
    if before == edits:
        return
    for name in before:
        path = (workspace.root if name.startswith(_OF_CMAKE) else workspace.source) / name
        if before[name] != edits.get(name) and path.is_file() and not path.is_symlink():
            os.utime(path)
    workspace.journal.append("edits", files=dict(edits))


def told(edits: Mapping[str, str]) -> str:
    """The first few names."""
    more = f" and {len(edits) - _SHOWN} more" if len(edits) > _SHOWN else ""
    return clean(", ".join(list(edits)[:_SHOWN])) + more


def note_patching(
    workspace: Workspace, key: str, changes: Sequence[Change], environ: Mapping[str, str], probe: Probe
) -> None:
    """Keep the originals of what is about to be written, and say in the journal what it will be.

    Nothing is noted a second time when patches that were noted before are completed.
    """
    last = _last(workspace)
    noted: dict[str, str] = last["after"] if last else {}
    will = {change.path: hashlib.sha256(change.after).hexdigest() for change in changes}
    if last is not None and last["key"] == key and will.items() <= noted.items():
        return
    edits = checkout_edits(workspace, environ)
    # What lies under a patch stays the original when one more file is written, such as the version.
    originals: dict[str, str] = dict(last["originals"]) if last else {}
    for change in changes:
        if change.path not in originals:
            originals[change.path] = _keep(workspace, change)
    if last is not None:
        uncommented = last["uncommented"]
    elif probe.has_trap("requirements-rewritten-for-cuda"):
        uncommented = _uncommented_after(workspace, changes)
    else:
        uncommented = ""
    workspace.journal.append(
        "patching",
        tree=tree_identity(workspace.source),
        key=key,
        before=edits,
        after={**noted, **{name: held for name, held in will.items() if name not in edits}},
        originals=originals,
        uncommented=uncommented,
    )


def is_patched(workspace: Workspace) -> bool:
    """Whether patches were begun on the checkout that is there, and not taken back."""
    return _last(workspace) is not None


def is_unaccounted(workspace: Workspace, environ: Mapping[str, str]) -> bool:
    """Whether patches were written in a checkout of which the journal says nothing: it was lost or damaged, or the
    workspace was copied. Raises SourceError, or HostError when git is missing."""
    if not workspace.originals.is_dir() or not any(workspace.originals.iterdir()) or is_patched(workspace):
        return False
    events = workspace.journal.events()
    last = next((event for event in reversed(events) if event["event"] in ("patching", "unpatched")), None)
    if last is not None and last["event"] == "unpatched":
        return False
    # A kill after the originals were kept, and before the journal said so, left nothing written.
    kept = (original_of(workspace, name) for name in checkout_edits(workspace, environ))
    return any(original.is_file() or original.with_suffix(MADE).is_file() for original in kept)


def is_patched_otherwise(workspace: Workspace, key: str) -> bool:
    """Whether patches lie on the checkout that were made from other sets or for other options."""
    last = _last(workspace)
    return last is not None and last["key"] != key


def take_back(workspace: Workspace) -> None:
    """Give the patched files their originals again. Raises PatchError for one that was edited by hand since."""
    last = _last(workspace)
    if last is None:
        return
    times: dict[str, tuple[str, int]] = {}
    for name, original in last["originals"].items():
        path = workspace.source / name
        now = digest_of(path)
        if now == original:
            continue
        if now != last["after"].get(name) and not (name == REQUIREMENTS and _is_rewritten(workspace)):
            raise PatchError(
                "the file was patched and then edited by hand, and now it has to be patched differently",
                where=Where(str(path)),
                remedy="keep what you need of it, then begin anew with --rebuild",
            )
        times[name] = (now, path.stat().st_mtime_ns)
        if original == GONE:
            path.unlink()
        else:
            # The kept one stays: a kill may come between two files.
            fresh = workspace.originals / "fresh"
            shutil.copy2(original_of(workspace, name), fresh)
            fresh.replace(path)
    workspace.journal.append("unpatched", times={**_times(workspace), **times})


def keep_times(workspace: Workspace) -> None:
    """Give a file that patches made what it was before they were taken back its time of then: nothing that depends on
    it has to be built again."""
    for name, (known, mtime) in _times(workspace).items():
        path = workspace.source / name
        if digest_of(path) == known:
            os.utime(path, ns=(mtime, mtime))


def _last(workspace: Workspace) -> Json | None:
    """The last ``patching`` event that holds for the tree that is there."""
    identity = tree_identity(workspace.source)
    for event in reversed(workspace.journal.events()):
        if event["event"] == "unpatched":
            return None
        if event["event"] == "patching":
            return event if event["tree"] == identity else None
    return None


def _times(workspace: Workspace) -> dict[str, tuple[str, int]]:
    for event in reversed(workspace.journal.events()):
        if event["event"] == "unpatched":
            return {name: (known, mtime) for name, (known, mtime) in event["times"].items()}
    return {}


def original_of(workspace: Workspace, name: str) -> Path:
    """Where a patched file is kept as it was before; with the suffix ``MADE`` when patches made it."""
    return workspace.originals / hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()


def _keep(workspace: Workspace, change: Change) -> str:
    workspace.originals.mkdir(exist_ok=True)
    place = original_of(workspace, change.path)
    if change.before is None:
        place.with_suffix(MADE).touch()
        return GONE
    fresh = place.with_suffix(".new")
    shutil.copy2(workspace.source / change.path, fresh)
    with fresh.open("rb") as handle:
        os.fsync(handle.fileno())
    fresh.replace(place)
    return hashlib.sha256(change.before).hexdigest()


def _is_rewritten(workspace: Workspace) -> bool:
    """Whether requirements.txt differs from what we left by comment signs alone, which upstream moves."""
    last = _last(workspace)
    path = workspace.source / REQUIREMENTS
    if not last or not last["uncommented"] or not path.is_file():
        return False
    return bool(last["uncommented"] == without_signs(path.read_bytes()))


def _uncommented_after(workspace: Workspace, changes: Sequence[Change]) -> str:
    planned = next((change.after for change in changes if change.path == REQUIREMENTS), None)
    path = workspace.source / REQUIREMENTS
    return without_signs(path.read_bytes() if planned is None and path.is_file() else planned or b"")


def without_signs(data: bytes) -> str:
    """A digest of the lines but for the comment signs that upstream moves."""
    lines = data.splitlines()
    return hashlib.sha256(b"\n".join(line.removeprefix(b"# ") for line in lines)).hexdigest()
