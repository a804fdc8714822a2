"""What a commit names as submodules, with the ways a hostile ``.gitmodules`` could lead git or us astray refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from git import Repo
from git.exc import GitCommandError, GitError
from git.objects import Blob

from trtllm_builder.errors import SourceError, Where
from trtllm_builder.source.git import Git
from trtllm_builder.source.urls import Url, parse_url, resolve_relative
from trtllm_builder.text import clean, redact

_GITLINK = 0o160000
_LINK = 0o120000
_KEY = re.compile(r"submodule\.(?P<name>.*)\.(?P<key>[a-z0-9-]+)\Z", re.DOTALL)
_LARGEST = 256 * 1024


@dataclass(frozen=True)
class Submodule:
    """``commit`` is the gitlink of the repository that names it; ``path`` is relative to that repository."""

    name: str
    path: str
    url: Url
    commit: str


@dataclass(frozen=True)
class Submodules:
    """Those to obtain, and a note for each that is left out."""

    wanted: tuple[Submodule, ...]
    notes: tuple[str, ...] = ()


def read_submodules(repository: Path, base: Url, git: Git) -> Submodules:
    """The submodules of HEAD in a checkout of ours; ``base`` is the URL that relative ones start from.

    Raises SourceError for paths that climb out, options, programs, transports that are not safe, and links.
    """
    try:
        with Repo(repository) as repo:
            repo.git.update_environment(**git.environment())
            links = {
                str(path): entry.hexsha for (path, _), entry in repo.index.entries.items() if entry.mode == _GITLINK
            }
            # From the commit: in the work tree .gitmodules could be a link by now.
            tree = repo.head.commit.tree
            blob = tree / ".gitmodules" if ".gitmodules" in tree else None
            if blob and (not isinstance(blob, Blob) or blob.mode == _LINK or blob.size > _LARGEST):
                raise _refused("it is not a plain file of reasonable size")
            sections = _sections(repo, blob.hexsha) if blob else {}
    except (GitError, ValueError, OSError) as error:
        what = f"the commit in {repository} cannot be read: {clean(str(error))[:200]}"
        raise SourceError(what, remedy="unset GIT_ variables, then run again with --rebuild") from error
    return _select(sections, links, base)


def _sections(repo: Repo, blob: str) -> dict[str, dict[str, str]]:
    """``{name: {key: value}}``, read by git itself; the last of several values counts, as for git."""
    try:
        listed = repo.git.config("--null", "--list", "--blob", blob)
    except GitCommandError as error:
        raise _refused(f"git cannot read it ({clean(str(error.stderr).strip())[:120]})") from error
    found: dict[str, dict[str, str]] = {}
    for pair in listed.split("\0"):
        name, _, value = pair.partition("\n")
        match = _KEY.match(name)
        if match:
            found.setdefault(match["name"], {})[match["key"]] = value
    return found


def _select(sections: dict[str, dict[str, str]], links: dict[str, str], base: Url) -> Submodules:
    wanted: dict[str, Submodule] = {}
    notes = []
    for name, values in sections.items():
        path, url, update = values.get("path", ""), values.get("url", ""), values.get("update", "")
        label = clean(name)
        if name.startswith("-") or ".." in re.split(r"[/\\]", name) or not name:
            raise _refused(f"the name {label!r} climbs out or looks like an option")
        if update.strip().startswith("!"):
            raise _refused(f"{label} wants a command to be run on update")
        check_path(path)
        if path in wanted:
            raise _refused(f"two submodules claim {path}")
        if path not in links:
            continue
        if update == "none":
            notes.append(f"{path} is left empty: .gitmodules says update = none")
            continue
        wanted[path] = Submodule(name, path, _url(url, base, label), links[path])
    named = {values.get("path") for values in sections.values()}
    notes += [
        f"{clean(path)} is a submodule that .gitmodules does not name; left empty"
        for path in links
        if path not in named
    ]
    return Submodules(tuple(wanted[path] for path in sorted(wanted)), tuple(notes))


def check_path(path: str) -> None:
    """Raises SourceError unless ``path`` is relative, stays inside, and is neither an option nor git's own."""
    parts = path.split("/")
    climbs = any(part in ("", ".", "..") for part in parts)
    own = any(part.lower().rstrip(". ") in (".git", "git~1") for part in parts)
    if climbs or own or path.startswith("-") or "\\" in path or re.search(r"[\x00-\x1f\x7f]", path):
        raise _refused(f"the path {clean(path)!r} is not a plain path inside the repository")


def _url(text: str, base: Url, label: str) -> Url:
    try:
        url = parse_url(resolve_relative(base.text, text))
    except SourceError as error:
        raise _refused(f"{label}: {error.what}") from error
    if url.scheme in ("file", "http") and url.scheme != base.scheme:
        raise _refused(f"{label} leads to {redact(url.text)}, which a repository from elsewhere may not name")
    return url


def _refused(why: str) -> SourceError:
    return SourceError(
        f"this submodule list is not safe: {why}",
        where=Where(".gitmodules"),
        remedy="do not build this source; if it is your own, mend .gitmodules",
    )
