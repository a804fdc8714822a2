"""A journal that does not know the checkout that is there: deleted, damaged, or of a workspace that was copied.

Then patches look like edits by hand. The originals beside the checkout tell: files that have one get it back, to be
patched again. What they held is kept aside until the new patches are written, and stays there when it differs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from trtllm_builder.build.edits import MADE, REQUIREMENTS, checkout_edits, original_of, without_signs
from trtllm_builder.build.run import Run
from trtllm_builder.source.edits import digest_of
from trtllm_builder.text import clean

_SHOWN = 3


def recover(run: Run) -> None:
    """Give patched files that the journal does not account for their originals again, keeping aside what they held.

    Raises OSError, SourceError, and HostError when git is missing.
    """
    workspace, environ = run.workspace, run.material.request.environ
    aside = workspace.aside / run.identifier
    for name in checkout_edits(workspace, environ):
        held, original = workspace.source / name, original_of(workspace, name)
        made = original.with_suffix(MADE)
        if held.is_symlink() or not held.is_file() or not (original.is_file() or made.is_file()):
            continue
        kept = aside / name
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(held, kept)
        if made.is_file():
            held.unlink()
            continue
        fresh = workspace.originals / "fresh"
        shutil.copy2(original, fresh)
        fresh.replace(held)
    # An original of another commit is none.
    for name in checkout_edits(workspace, environ):
        if (aside / name).is_file():
            shutil.copy2(aside / name, workspace.source / name)
    times = {str(path.relative_to(aside)): (digest_of(path), path.stat().st_mtime_ns) for path in _files(aside)}
    workspace.journal.append("unpatched", times=times)
    run.observer.note(
        f"the journal does not say what was patched in {workspace.source} (it was lost or damaged, or the workspace "
        f"was copied): {len(times)} files got their originals again, to be patched anew"
    )


def settle(run: Run) -> None:
    """After patching: what was kept aside and is there again goes; of what differs a person is told."""
    workspace = run.workspace
    left = []
    for directory in sorted(workspace.aside.iterdir()) if workspace.aside.is_dir() else ():
        for path in _files(directory):
            name = str(path.relative_to(directory))
            if _is_same(name, path, workspace.source / name):
                path.unlink()
            else:
                left.append(path)
    if left:
        shown = ", ".join(str(path) for path in left[:_SHOWN])
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        run.observer.note(
            f"edited by hand, it seems, in a checkout that the journal did not know, and not compiled in: "
            f"{clean(shown)}{more}; compare with {workspace.source}, take over what you need, then delete them there"
        )
    else:
        shutil.rmtree(workspace.aside, ignore_errors=True)


def _is_same(name: str, one: Path, other: Path) -> bool:
    if digest_of(one) == digest_of(other):
        return True
    return (
        name == REQUIREMENTS
        and other.is_file()
        and (without_signs(one.read_bytes()) == without_signs(other.read_bytes()))
    )


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())
