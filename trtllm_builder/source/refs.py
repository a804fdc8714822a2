"""Names of branches and tags: which are fit to be given to git, and which commit a server says they are."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from trtllm_builder.errors import SourceError
from trtllm_builder.text import clean

_COMMIT = re.compile(r"[0-9a-f]{40}\Z", re.ASCII)
# git-check-ref-format(1), rules 1 and 3 to 10.
_UNFIT = re.compile(r"^-|^/|/$|//|\.\.|@\{|[\x00-\x20\x7f~^:?*\[\\]|\.$|^@$|(?:^|/)\.|\.lock(?:/|$)")
_ABBREVIATED = re.compile(r"[0-9a-f]{7,39}\Z", re.ASCII)


@dataclass(frozen=True)
class Resolved:
    """``name`` is the full name on the server, ``refs/tags/v1.0``."""

    commit: str
    name: str
    notes: tuple[str, ...] = ()


def is_commit(text: str) -> bool:
    """Whether ``text`` is a full commit id: 40 lower-case hex digits."""
    return bool(_COMMIT.match(text))


def check_ref(ref: str) -> None:
    """Raises SourceError when ``ref`` could not be a branch, tag or full commit id."""
    if not ref or len(ref) > 200 or _UNFIT.search(ref):
        raise SourceError(
            f"{clean(ref)[:200]!r} is not the name of a branch or tag",
            remedy="give a branch, a tag or all 40 digits of a commit",
        )


def patterns(ref: str) -> tuple[str, ...]:
    """What ls-remote is asked for; ``^{}`` is an annotated tag's commit."""
    if ref.startswith("refs/"):
        return (ref, f"{ref}^{{}}")
    return (f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/tags/{ref}^{{}}")


def parse_listing(text: str) -> dict[str, str]:
    """``{full name: object id}`` from ls-remote's output (git-ls-remote(1)); lines of another form are passed over."""
    listing = {}
    for line in text.splitlines():
        value, _, name = line.partition("\t")
        if is_commit(value) and name:
            listing[name] = value
    return listing


def resolve(listing: dict[str, str], ref: str) -> Resolved | None:
    """The commit of ``ref``, tags peeled. A tag wins over a branch of the same name, as in git, and a note says so."""
    if ref.startswith("refs/"):
        commit = listing.get(f"{ref}^{{}}") or listing.get(ref)
        return Resolved(commit, ref) if commit else None
    branch, tag = listing.get(f"refs/heads/{ref}"), f"refs/tags/{ref}"
    tagged = listing.get(f"{tag}^{{}}") or listing.get(tag)
    if tagged:
        both = f"{ref} is both a branch and a tag; the tag was taken (refs/heads/{ref} means the branch)"
        return Resolved(tagged, tag, (both,) if branch and branch != tagged else ())
    return Resolved(branch, f"refs/heads/{ref}") if branch else None


def nearest_refs(listing: dict[str, str], ref: str, count: int = 3) -> tuple[str, ...]:
    """Up to ``count`` branches and tags whose names are close to ``ref``, the closest first."""
    names = {
        name.partition("/")[2].partition("/")[2]: None
        for name in listing
        if name.startswith(("refs/heads/", "refs/tags/")) and not name.endswith("^{}")
    }
    short = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
    close = difflib.get_close_matches(short, list(names), n=count, cutoff=0.5)
    close += [name for name in sorted(names) if short.rpartition("/")[2] in name and name not in close]
    return tuple(clean(name) for name in close[:count])


def missing_ref_remedy(listing: dict[str, str], ref: str) -> str:
    """What to do about a ref that the server does not have."""
    near = nearest_refs(listing, ref)
    if near:
        return "nearest: " + ", ".join(near)
    if _ABBREVIATED.match(ref):
        return "a commit is given by all 40 digits"
    return "list what exists with: git ls-remote URL"
