"""One faulty value at a time: the place of the value or key, what was expected, and the nearest right one."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtllm_builder.errors import ProfileError
from trtllm_builder.profile.load import load_profile
from trtllm_builder.profile.model import Build, CMakeValue, FlagValue, Profile

MINIMAL = """\
schema: 1
python: 3.10
source:
  ref: release/0.20
cuda:
  architectures: [89]
  toolkit: ">=12.9,<13"
"""


def load(tmp_path: Path, text: str, *overrides: str) -> Profile:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    return load_profile(str(path), profile_dirs=[], overrides=overrides).profile


def fault(tmp_path: Path, text: str) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        load(tmp_path, text)
    return caught.value


def place(error: ProfileError) -> str:
    assert error.where is not None
    return f"{error.where.line}:{error.where.column}"


def test_text_becomes_what_the_field_is(tmp_path: Path) -> None:
    profile = load(
        tmp_path,
        MINIMAL.replace("release/0.20", "1.10")
        + """\
build:
  jobs: 6
  job_memory: 1500 MB
  ccache: {enabled: OFF, max_size: 1 GiB}
  cmake:
    BUILD_TESTS: OFF
    BUILD_DEEP_EP: {value: off, if_declared: yes}
    HEX: 0x10
    ENABLE_UCX: 0
  flags: {skip-stubs: true, binding_type: nanobind, no-venv: {if_declared: true}, n: {value: on}}
  environment: {TIME: 6:30, TOKENIZERS_PARALLELISM: false}
verify: {import_deadline: 2 min, answer: {model: canary, prompt: "null"}}
""",
    )
    assert profile.python == "3.10"
    assert profile.source.ref == "1.10"
    assert profile.source.lfs is True
    assert profile.build.jobs == 6
    assert profile.build.job_memory == 1_500_000_000
    assert profile.build.ccache.enabled is False
    assert {name: one.value for name, one in profile.build.cmake.items()} == {
        "BUILD_TESTS": "OFF",
        "BUILD_DEEP_EP": "off",
        "HEX": "0x10",
        "ENABLE_UCX": "0",
    }
    assert profile.build.cmake["BUILD_DEEP_EP"].if_declared is True
    assert profile.build.flags == {
        "skip-stubs": FlagValue(),
        "binding_type": FlagValue(value="nanobind"),
        "no-venv": FlagValue(if_declared=True),
        "n": FlagValue(),
    }
    assert profile.build.environment == {"TIME": "6:30", "TOKENIZERS_PARALLELISM": "false"}
    assert profile.verify.import_deadline == 120.0
    assert profile.verify.answer is not None
    assert profile.verify.answer.prompt == "null"


def test_typed_values_pass_as_they_are() -> None:
    build = Build(jobs=2, job_memory=5, cmake={"A": CMakeValue(value="1")}, flags={"x": FlagValue(value="y")})
    assert (build.jobs, build.job_memory) == (2, 5)


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("build: {jobs: 0}", 15, "`auto` or a whole number from 1"),
        ("build: {jobs: -1}", 15, "`auto` or a whole number"),
        ("build: {jobs: 0x10}", 15, "`0x10`"),
        ("build: {jobs: 1_0}", 15, "`1_0`"),
        ("build: {jobs: [2]}", 15, "not a list"),
        ("build: {jbos: 2}", 9, "did you mean `jobs`"),
        ("jobs: 2", 1, "belongs at `build.jobs`"),
        ("build: {job_memory: 6 Gb B}", 21, "such as 6 GiB"),
        ("build: {job_memory: 0}", 21, "such as 6 GiB"),
        ("build: {job_memory: " + "9" * 400 + "}", 21, "such as 6 GiB"),
        ("build: {generator: ninja}", 20, "did you mean `Ninja`"),
        ("build: {type: release}", 15, "did you mean `Release`"),
        ("build: {ccache: {enabled: maybe}}", 27, "true or false"),
        ("build: {ccache: on}", 17, "keys and values, not `on`"),
        ("build: {ccache: {dir: cache}}", 23, "absolute path"),
        ("build: {cmake: {A: 'a;b'}}", 20, "`;`"),
        ("build: {cmake: {A: {value: 'a;b'}}}", 28, "`;`"),
        ("build: {cmake: {A: '$x'}}", 20, "`$`"),
        ("build: {cmake: {A: 'a`b'}}", 20, "shell line"),
        ("build: {cmake: {A-B: 1}}", 17, "CMake option's name"),
        ("build: {cmake: {A: 1, A: 2}}", 23, "stands twice"),
        ("build: {cmake: {A: {if_declared: true}}}", 17, "`build.cmake.A.value` is missing"),
        ("build: {cmake: {A: {value: 1, if_declard: true}}}", 31, "did you mean `if_declared`"),
        ("build: {cmake: [A]}", 16, "keys and values, not a list"),
        ("build: {cmake: {CMAKE_BUILD_TYPE: Debug}}", 17, "use `build.type`"),
        ("build: {cmake: {ENABLE_MULTI_DEVICE: OFF}}", 38, "literal 0"),
        ("build: {cmake: {ENABLE_UCX: {value: ON}}}", 37, "literal 0"),
        ("build: {cmake: {BUILD_DEEP_EP: maybe}}", 32, "ON, OFF or auto for BUILD_DEEP_EP, not `maybe`"),
        ("build: {cmake: {ENABLE_NVSHMEM: {value: 2}}}", 41, "ON, OFF or auto for ENABLE_NVSHMEM"),
        ("build: {flags: {--skip-stubs: true}}", 17, "without dashes"),
        ("build: {flags: {job_count: 2}}", 17, "use `build.jobs`"),
        ("build: {flags: {job-count: 2}}", 17, "use `build.jobs`"),
        ("build: {flags: {skip-stubs: false}}", 29, "write null"),
        ("build: {environment: {1A: x}}", 23, "environment variable"),
        ("build: {environment: {HF_TOKEN: x}}", 23, "credential"),
        ("build: {environment: {HOME: /x}}", 23, "sets the variable `HOME` itself"),
        ("patches: single-device", 10, "write [single-device]"),
        ("patches: [a, a]", 14, "twice"),
        ("patches: [../a]", 11, "expected a name"),
        ("patches: [null]", 11, "not nothing"),
        ("workspace: [build]", 13, "the word `cache`"),
        ("workspace: [/a b]", 13, "shell lines"),
        ("workspace: []", 12, "at least one"),
        ("tensorrt: {root: here}", 18, "absolute path"),
        ("tensorrt: {version: 10.13}", 21, "write ==10.13.*"),
        ("tools: {cmake: new}", 16, "version range"),
        ("verify: {import_deadline: soon}", 27, "such as 120 s"),
        ("verify: {import_deadline: 0 s}", 27, "such as 120 s"),
        ("verify: {architectures: {required: [89]}}", 37, "sm_89"),
        ("verify: {architectures: {required: sm_89}}", 36, "a list such as [sm_89]"),
        ("verify: {answer: {prompt: x}}", 10, "`verify.answer.model` is missing"),
        ("descripton: x", 1, "did you mean `description`"),
    ],
)
def test_a_wrong_value_is_named_at_its_place(tmp_path: Path, line: str, column: int, words: str) -> None:
    error = fault(tmp_path, MINIMAL + line + "\n")
    assert place(error) == f"8:{column}"
    assert words in error.what
    assert not error.others


@pytest.mark.parametrize(
    ("old", "new", "where", "words"),
    [
        ("schema: 1", "schema: 2", "1:9", "expected 1"),
        ("schema: 1\n", "", "1:1", "`schema: 1` is missing"),
        ("schema: 1", "schema: null", "1:9", "`schema: 1` is missing"),
        ("schema: 1", "schema: [1]", "1:9", "expected `schema: 1`"),
        ("python: 3.10", "python: 3.9", "2:9", "3.10, 3.11, 3.12, 3.13, host"),
        ("python: 3.10", "python: 3.10.4", "2:9", "write 3.10"),
        ("python: 3.10", "python: ~", "2:9", "`python` is missing"),
        ("python: 3.10\n", "", "1:1", "`python` is missing"),
        ("  ref: release/0.20", "  commit: null", "3:1", "`source.ref` is missing"),
        ("source:\n  ref: release/0.20", "source: release/0.20", "3:9", "keys and values"),
        ("[89]", "[75]", "6:19", "no kernels for Turing (75)"),
        ("[89]", "[89, 70]", "6:23", "no kernels for Volta (70)"),
        ("[89]", "[61]", "6:19", "older than Ampere"),
        ("[89]", "[88]", "6:19", "did you mean 87"),
        ("[89]", "[8.9]", "6:19", "write 89"),
        ("[89]", "[sm_89]", "6:19", "write 89"),
        ("[89]", "[90a]", "6:19", "write 90"),
        ("[89]", "[89-real]", "6:19", "write 89"),
        ("[89]", "['80;89']", "6:19", "write [80, 89]"),
        ("[89]", "[native]", "6:19", "such as 89"),
        ("[89]", "[٨٩]", "6:19", "such as 89"),
        ("[89]", "[80, 89, 80]", "6:27", "`80` stands in this list twice"),
        ("[89]", "89", "6:18", "write [89]"),
        ("[89]", "[]", "6:18", "at least one"),
        ("[89]", "{89: true}", "6:18", "expected a list"),
        ('">=12.9,<13"', "12.9", "7:12", "write ==12.9.*"),
        ('">=12.9,<13"', "newest", "7:12", "such as `>=12.9,<13`"),
        ('">=12.9,<13"', "''", "7:12", "such as `>=12.9,<13`"),
    ],
)
def test_what_must_be_there_is_checked(tmp_path: Path, old: str, new: str, where: str, words: str) -> None:
    assert old in MINIMAL
    error = fault(tmp_path, MINIMAL.replace(old, new))
    assert place(error) == where
    assert words in error.what


@pytest.mark.parametrize(
    "ref",
    ["-x", "--upload-pack=touch /tmp/x", "a b", "a..b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "/a", "a/", "a.", ".a",
     "a/.b", "a.lock", "a.lock/b", "a@{1}", "@", "a\\b", "a//b", "x" * 300, ""],
)  # fmt: skip
def test_refs_that_git_or_its_command_line_would_misread(tmp_path: Path, ref: str) -> None:
    error = fault(tmp_path, MINIMAL.replace("release/0.20", f"'{ref}'"))
    assert place(error) == "4:8"


@pytest.mark.parametrize("ref", ["main", "v1.1.0", "release/1.1", "1.10", "feature/a-b_c", "b35ac1b6"])
def test_usual_refs_are_taken(tmp_path: Path, ref: str) -> None:
    assert load(tmp_path, MINIMAL.replace("release/0.20", ref)).source.ref == ref


@pytest.mark.parametrize(
    "url",
    ["https://github.com/a/b.git", "ssh://git@host:22/a/b", "git@github.com:a/b.git", "file:///srv/git/x",
     "https://me:secret@host/a/b", "builtin:canary"],
)  # fmt: skip
def test_usual_urls_are_taken(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, MINIMAL, f"source.url='{url}'").source.url == url


@pytest.mark.parametrize(
    "url",
    ["http://host/a", "git://host/a", "ext::sh -c id", "-oProxyCommand=id", "ssh://-oProxyCommand=id/a", "/srv/x",
     "git@-host:x", "git@host:-x", "builtin:other", "https://host/a b", "file://host/x", "https:///x"],
)  # fmt: skip
def test_urls_that_git_must_not_get(tmp_path: Path, url: str) -> None:
    with pytest.raises(ProfileError, match=r"expected a URL|built-in"):
        load(tmp_path, MINIMAL, f"source.url='{url}'")


def test_commits_are_whole(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL, f"source.commit={'A' * 40}").source.commit == "a" * 40
    with pytest.raises(ProfileError, match="whole commit id"):
        load(tmp_path, MINIMAL, "source.commit=abc1234")


def test_all_faults_are_reported_in_the_order_of_the_file(tmp_path: Path) -> None:
    error = fault(tmp_path, MINIMAL.replace("3.10", "2.7").replace("89", "75") + "patchs: []\n")
    lines = [one.where.line for one in (error, *error.others) if one.where]
    assert lines == [2, 6, 8]


def test_hundreds_of_faults_are_counted_not_listed(tmp_path: Path) -> None:
    error = fault(tmp_path, MINIMAL + "".join(f"x{n}: 1\n" for n in range(300)))
    assert len(error.others) == 20
    assert error.others[-1].what == "and 280 more faults"


def test_secrets_in_a_wrong_url_are_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ProfileError) as caught:
        load(tmp_path, MINIMAL, "source.url=http://me:hunter2@host/x")
    assert "hunter2" not in str(caught.value)
