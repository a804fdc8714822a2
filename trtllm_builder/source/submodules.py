"""What a commit names as submodules, with the ways a hostile ``.gitmodules`` could lead git or us astray refused."""

from __future__ import annotations

import configparser
import io
import re
from dataclasses import dataclass
from pathlib import Path

from git import Repo
from git.config import GitConfigParser
from git.exc import GitError
from git.objects import Blob

from trtllm_builder.errors import SourceError, Where
from trtllm_builder.source.git import Git
from trtllm_builder.source.urls import Url, parse_url, resolve_relative
from trtllm_builder.text import clean, redact

_GITLINK = 0o160000
_LINK = 0o120000
_SECTION = re.compile(r'submodule "(?P<name>.*)"\Z', re.DOTALL)
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
            links, listed = _read(repo)
    except (GitError, ValueError, OSError) as error:
        what = f"the commit in {repository} cannot be read: {clean(str(error))[:200]}"
        raise SourceError(what, remedy="unset GIT_ variables, then run again with --rebuild") from error
    if listed is None:
        return Submodules(
            (), tuple(f"{clean(path)} is a submodule that no .gitmodules names; left empty" for path in links)
        )
    return _select(_sections(listed), links, base)


def _read(repo: Repo) -> tuple[dict[str, str], bytes | None]:
    """Gitlinks by path, and .gitmodules: from the commit, for in the work tree it could be a link by now."""
    links = {str(path): entry.hexsha for (path, _), entry in repo.index.entries.items() if entry.mode == _GITLINK}
    tree = repo.head.commit.tree
    if ".gitmodules" not in tree:
        return links, None
    blob = tree / ".gitmodules"
    if not isinstance(blob, Blob) or blob.mode == _LINK or blob.size > _LARGEST:
        raise _refused("it is not a plain file of reasonable size")
    return links, blob.data_stream.read()


def _sections(data: bytes) -> dict[str, dict[str, str]]:
    try:
        data.decode("utf-8")
        parser = GitConfigParser(io.BytesIO(data), read_only=True, merge_includes=False)
        parser.read()
        found: dict[str, dict[str, str]] = {}
        for section in parser.sections():
            match = _SECTION.match(section)
            if match:
                found[match["name"]] = {key.lower(): str(value) for key, value in parser.items(section)}
    except (configparser.Error, ValueError, AttributeError, KeyError) as error:
        raise _refused(f"it cannot be read ({clean(str(error))[:120]})") from error
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
