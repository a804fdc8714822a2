from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.errors import BuilderError, ProfileError, UsageError
from trtllm_builder.plan.locking import locked_values
from trtllm_builder.plan.request import Asked, make_request
from trtllm_builder.repro.inputs import Input
from trtllm_builder.repro.lock import Lock

ENVIRON = {"HOME": "/home/me", "PATH": "/usr/bin:/bin"}
COMMIT = "8258a92e9b64be4fe6c4a385d2801bf53a5eb5d6"


def asked(**more: object) -> Asked:
    return replace(Asked(profile="autodl-4090", out=Path("/out")), **more)  # type: ignore[arg-type]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    profile = make_request(asked(), ENVIRON).loaded.profile
    source = Input("source", "TensorRT-LLM", f"git+{profile.source.url}@{COMMIT}", {"gitCommit": COMMIT})
    path = tmp_path / "mine.lock.json"
    path.write_text(Lock(profile.name, locked_values(profile), 1, (source,)).render())
    return path


def test_what_changes_no_byte_is_not_in_a_lock() -> None:
    plain = locked_values(make_request(asked(), ENVIRON).loaded.profile)
    elsewhere = (
        "workspace=[/data]", "build.jobs=3", "build.ccache.enabled=false", "build.job_memory=3 GiB",
        "cuda.root=/opt/cuda",
        "source.mirrors=[]", "source.url=https://host/fork.git", "index=/srv/index", "description=another",
    )  # fmt: skip
    assert locked_values(make_request(asked(overrides=elsewhere), ENVIRON).loaded.profile) == plain
    for other in (
        "build.type=Debug",
        "cuda.architectures=[90]",
        "python=3.11",
        "build.cmake.ENABLE_UCX=1",
        "patches=[]",
    ):
        assert locked_values(make_request(asked(overrides=(other,)), ENVIRON).loaded.profile) != plain, other


def test_the_profile_of_a_lock_is_the_profile_at_its_commit(lock: Path) -> None:
    held = make_request(asked(locked=lock), ENVIRON)
    alone = make_request(asked(profile="", locked=lock), ENVIRON)
    for request in (held, alone):
        assert request.locked is not None and request.loaded.profile.source.commit == COMMIT
        assert locked_values(request.loaded.profile) == request.locked.profile
        assert request.build_tag == f"19700101_{request.locked.digest[:8]}"
    assert alone.loaded.profile.name == held.loaded.profile.name == "autodl-4090"
    assert make_request(asked(locked=lock, build_tag=""), ENVIRON).build_tag == ""
    assert make_request(asked(), ENVIRON).build_tag == ""


def test_another_profile_than_the_locked_one_is_refused_by_what_differs(lock: Path) -> None:
    with pytest.raises(ProfileError, match=r"build\.type: \"Debug\", and the lock has \"Release\""):
        make_request(asked(locked=lock, overrides=("build.type=Debug",)), ENVIRON)
    with pytest.raises(ProfileError, match=r"source\.commit"):
        make_request(asked(locked=lock, overrides=(f"source.commit={'1' * 40}",)), ENVIRON)
    with pytest.raises(UsageError, match="--set"):
        make_request(asked(profile="", locked=lock, overrides=("build.jobs=2",)), ENVIRON)


def test_the_name_in_a_lock_is_the_profiles(lock: Path) -> None:
    lock.write_text(lock.read_text().replace('"name": "autodl-4090"', '"name": "other"'))
    with pytest.raises(ProfileError, match='profile name: "autodl-4090", and the lock has "other"'):
        make_request(asked(locked=lock), ENVIRON)


def test_a_lock_whose_profile_is_none_is_refused(lock: Path) -> None:
    for old, new in (('"python": "3.1', '"python": "9.1'), ('"type": "Release"', '"typo": "Release"')):
        text = lock.read_text()
        assert old in text
        other = lock.with_name("other.json")
        other.write_text(text.replace(old, new))
        with pytest.raises(BuilderError) as error:
            make_request(asked(profile="", locked=other), ENVIRON)
        assert error.value.status == 2 and str(other) in str(error.value)


def test_a_request_is_kept_and_read_again_with_its_lock(lock: Path) -> None:
    once = asked(locked=lock, index="https://host/index", build_tag="20260101_1a2b3c4d")
    assert Asked.from_json(once.to_json()) == once


@pytest.mark.parametrize("index", ["ftp://host/index", "s3://bucket"])
def test_an_index_is_a_directory_or_what_a_web_server_shows(index: str) -> None:
    with pytest.raises(UsageError, match=r"--index .* is no URL that an index has"):
        make_request(asked(index=index), ENVIRON)
    assert make_request(asked(index="HTTPS://host/index"), ENVIRON).index == "HTTPS://host/index"
