"""Upload by the protocol of PyPI ("legacy" upload API), with twine's library: to pypiserver, devpi and others.

A server is first asked for what it has under the same name, on the simple pages that pypiserver and devpi have beside
the address of their upload: some would replace it without a word.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import tenacity

from trtllm_builder.errors import HostError, PublishError, UsageError
from trtllm_builder.index.model import identity
from trtllm_builder.publish.rules import Candidate
from trtllm_builder.text import clean, has_credentials, redact

if TYPE_CHECKING:
    from requests import Response
    from twine.repository import Repository

USER, PASSWORD = "TWINE_USERNAME", "TWINE_PASSWORD"  # the names that people's CI has already
_ATTEMPTS, _LONGEST = 4, 20.0  # seconds between two
_TRANSIENT = (429, 500, 502, 503, 504)
# PyPI says 400, pypiserver 409, devpi 403 or 409, of a name that is there.
_REFUSALS = (400, 403, 409)
_PAGE_LIMIT, _ANSWER_WITHIN = 64 << 20, 30.0  # bytes, seconds
_SAID = 4096  # characters of an answer


class _Busy(Exception):
    """The server's answer was one to try again after."""


def upload(
    candidates: Sequence[Candidate],
    url: str,
    environ: Mapping[str, str],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> list[tuple[Candidate, str]]:
    """Each candidate with ``published`` or ``already there``. User and password come from ``environ`` or the keyring.

    Raises PublishError when the server has one of the names with other bytes, refuses, or does not answer (what went
    before stays uploaded); UsageError for a URL that cannot be meant; HostError without twine.
    """
    require_plain(url)
    repository = _repository(url, environ)
    try:
        return [(one, _upload(repository, one, url, sleep)) for one in candidates]
    finally:
        repository.close()


def require_plain(url: str) -> None:
    """Raises UsageError for a URL that cannot be meant, or that carries a password."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not url.lower().startswith(("http://", "https://")) or not host:
        raise UsageError(
            f"{redact(url)} is no address to upload to", remedy="name a directory, or an http or https URL"
        )
    if has_credentials(url):
        raise UsageError(
            f"{redact(url)} has a password in it, and command lines are seen by others",
            remedy=f"set {USER} and {PASSWORD}, or keep them in the keyring",
        )


def _repository(url: str, environ: Mapping[str, str]) -> Repository:
    try:
        from twine.repository import Repository
    except ImportError as error:
        raise HostError(
            "uploading needs twine, and it is not installed here",
            remedy="run: python -m pip install -e '.[upload]' in your clone of trtllm-builder",
        ) from error
    user, password = environ.get(USER), environ.get(PASSWORD)
    if not password:
        user, password = _from_keyring(url, user)
    return Repository(url, user, password, disable_progress_bar=True)


def _from_keyring(url: str, user: str | None) -> tuple[str | None, str | None]:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return user, None
    with suppress(KeyringError):
        found = keyring.get_credential(url, user)
        if found is not None:
            return found.username, found.password
    return user, None


def _upload(repository: Repository, one: Candidate, url: str, sleep: Callable[[float], None]) -> str:
    import requests

    if _is_there(repository, one, url):
        return "already there"
    retry = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((_Busy, requests.ConnectionError, requests.Timeout)),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_exponential_jitter(max=_LONGEST),
        reraise=True,
        sleep=sleep,
    )
    try:
        answer = retry(_attempt, repository, one)
    except (_Busy, requests.RequestException) as error:
        raise PublishError(
            f"{url} did not take {one.filename}: {clean(redact(str(error)))[:300] or type(error).__name__}",
            remedy="see whether that server is up, then publish again: what is there already is not sent twice",
        ) from error
    if answer.ok and not answer.is_redirect:
        return "published"
    # An attempt before this one may have arrived although its answer did not.
    if answer.status_code in _REFUSALS and _is_there(repository, one, url):
        return "already there"
    raise PublishError(f"{url} refuses {one.filename}: {_said(answer)}", remedy=_remedy(answer))


def _attempt(repository: Repository, one: Candidate) -> Response:
    from twine.exceptions import TwineException
    from twine.package import PackageFile

    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):  # it tells of each file
            answer = repository.upload(PackageFile.from_filename(str(one.path), None), max_redirects=1)
    except TwineException as error:
        raise PublishError(
            f"{one.filename} cannot be uploaded: {clean(str(error))[:300]}", remedy="build it again with a newer packer"
        ) from error
    if answer.status_code in _TRANSIENT:
        raise _Busy(_said(answer))
    return answer


def _said(answer: Response) -> str:
    """The status and, unless it is a page, what is said with it."""
    status = f"{answer.status_code} {answer.reason}"
    said = " ".join(clean(redact((answer.text or "")[:_SAID])).split())
    return f"{status}: {said}"[:300] if said and "<" not in said else status


def _remedy(answer: Response) -> str:
    if answer.status_code in (401, 403):
        return f"set {USER} and {PASSWORD}, or keep them in the keyring; and see that they may upload"
    if answer.is_redirect:
        return f"give the address it leads to: {redact(clean(answer.headers.get('location', 'unknown')))}"
    if answer.status_code == 409:
        return "it has that name already and does not show its hash; see there which bytes they are"
    return "see that the URL is the one for uploads, and what its log says"


def _is_there(repository: Repository, one: Candidate, url: str) -> bool:
    """Raises PublishError when the name is there with other bytes."""
    found = _listed(repository, one, url)
    if found is None:
        return False
    if found != one.sha256:
        raise PublishError(
            f"{url} has {one.filename} with other bytes: sha256 {found or 'unknown'}, yours has {one.sha256}",
            remedy="what was published stays as it is: build yours with another version or build tag",
        )
    return True


def _listed(repository: Repository, one: Candidate, url: str) -> str | None:
    """The sha256 of the file of this name on the server, empty when it does not say; None when it shows none."""
    import requests

    for place in ("simple", "+simple"):
        page = f"{url.rstrip('/')}/{place}/{one.project}/"
        try:
            with repository.session.get(page, timeout=_ANSWER_WITHIN, headers={"Accept": "text/html"}) as answer:
                if not answer.ok or len(answer.content) > _PAGE_LIMIT:
                    continue
                anchors = _Anchors()
                anchors.feed(answer.text)
        except requests.RequestException:
            continue
        wanted = identity(one.filename)
        for name, digest in anchors.found:
            with suppress(ValueError):
                if identity(name) == wanted:
                    return digest
    return None


class _Anchors(HTMLParser):
    """File names and sha256 of a simple page (PEP 503)."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        href = dict(attrs).get("href") if tag == "a" else None
        if href:
            path, _, fragment = href.partition("#")
            self.found.append((unquote(path.rpartition("/")[2]), fragment.removeprefix("sha256=") if fragment else ""))
