"""One Python package, as pip takes it and as a lock has it."""

from __future__ import annotations

from dataclasses import dataclass

from trtllm_builder.repro.inputs import Input

WANTED = ("requirement", "backend")
"""The kinds of inputs that these are in a lock."""


@dataclass(frozen=True)
class Requirement:
    """One package as pip takes it: an archive by its hash, or a repository (``url``) at a commit; the one of the two
    that it is not is empty. One with ``needed_by`` is not installed: that package is built with it."""

    name: str
    version: str
    file: str
    sha256: str
    commit: str = ""
    url: str = ""
    needed_by: str = ""

    @property
    def line(self) -> str:
        """As a requirements file has it."""
        return (
            f"{self.name}=={self.version} --hash=sha256:{self.sha256}" if self.sha256 else f"{self.name} @ {self.uri}"
        )

    @property
    def uri(self) -> str:
        if self.url:
            return f"git+{self.url}@{self.commit}"
        named = f"?file_name={self.file}" if self.file else ""
        return f"pkg:pypi/{self.name}@{self.version}{named}"

    @property
    def is_built(self) -> bool:
        """Whether pip has to build it first."""
        return not self.needed_by and bool(self.url or (self.sha256 and not self.file.endswith(".whl")))

    def to_input(self) -> Input:
        digest = {"sha256": self.sha256} if self.sha256 else {"gitCommit": self.commit} if self.commit else {}
        kind, name = ("backend", f"{self.needed_by}/{self.name}") if self.needed_by else ("requirement", self.name)
        return Input(kind, name, self.uri, digest, None, self.version)

    @classmethod
    def from_input(cls, one: Input) -> Requirement:
        needed_by, _, name = one.name.rpartition("/")
        url = one.uri.removeprefix("git+").rpartition("@")[0] if one.uri.startswith("git+") else ""
        file, commit = one.uri.partition("?file_name=")[2], one.digest.get("gitCommit", "")
        return cls(name, one.version, file, one.digest.get("sha256", ""), commit, url, needed_by)
