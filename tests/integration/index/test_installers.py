"""Real pip and real uv, from an index behind real servers, with another index beside it that has higher versions."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from trtllm_builder.errors import PublishError
from trtllm_builder.index.published import find_by_lock
from trtllm_builder.publish import rules
from trtllm_builder.publish.add import add
from trtllm_builder.publish.change import yank
from trtllm_builder.publish.rules import Allowed, judge

pytestmark = pytest.mark.integration

Serve = Callable[..., object]
ADA, BLACKWELL = "1.2.0+sd.cu130.sm89", "1.3.0+sd.cu130.sm120"
SERVERS = ["python", "nginx", "nginx with JSON"]


@pytest.fixture
def index(tmp_path: Path, make_build: Callable[..., Path], make_wheel: Callable[..., Path]) -> Path:
    """Two variants of ours, of which the wrong one has the higher version, and a wheel that both need."""
    needs = {"requires": ("tiny-dep>=1",)}
    candidates = [
        judge(make_build(ADA, **needs), Allowed()),
        judge(make_build(BLACKWELL, record=for_blackwell, **needs), Allowed()),
        judge(make_wheel("tiny-dep", "1.0"), Allowed(unverified=True)),
    ]
    add(candidates, tmp_path / "index")
    return tmp_path / "index"


def for_blackwell(record: dict) -> None:
    record["plan"]["verification"]["targets"]["required"] = [["sm_120"]]


@pytest.fixture
def public(tmp_path: Path, make_wheel: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a public index has under our names: newer, and not ours."""
    decoys = [
        make_wheel("tensorrt-llm", "9.9.9", directory=tmp_path / "decoys", content="raise SystemExit('decoy')\n"),
        make_wheel("tiny-dep", "1.5", directory=tmp_path / "decoys"),
    ]
    monkeypatch.setattr(rules, "OURS", "")  # a public index does not ask for our record
    add([judge(one, Allowed(unverified=True)) for one in decoys], tmp_path / "public")
    return tmp_path / "public"


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """Nobody's configuration and no cache but this test's."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
        "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": str(home / "uv"),
        "UV_PYTHON": sys.executable,
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }


def run(environ: dict[str, str], *words: str, fails: bool = False, cwd: Path | None = None) -> str:
    done = subprocess.run(words, env=environ, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode != 0) is fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def pip(environ: dict[str, str], target: Path, *words: str, fails: bool = False) -> str:
    return run(environ, sys.executable, "-m", "pip", "install", "--target", str(target), *words, fails=fails)


def uv(environ: dict[str, str], target: Path, *words: str, fails: bool = False) -> str:
    return run(environ, _uv(), "pip", "install", "--target", str(target), *words, fails=fails)


def _uv() -> str:
    found = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert found
    return found


def installed(target: Path) -> set[str]:
    return {path.name.removesuffix(".dist-info").replace("tensorrt_llm", "ours") for path in target.glob("*.dist-info")}


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("install", [pip, uv])
def test_a_variants_tree_gives_its_own_wheel_and_what_it_needs(
    install: Callable[..., str], kind: str, index: Path, serve: Serve, alone: dict[str, str], tmp_path: Path
) -> None:
    served = serve(index, kind)
    install(alone, tmp_path / "a", "--index-url", f"{served.url}/v/cu130-sm89/simple/", "tensorrt-llm")
    assert installed(tmp_path / "a") == {f"ours-{ADA}", "tiny_dep-1.0"}
    assert any(path.endswith(".whl.metadata") for path in served.requests), "metadata was not asked for by itself"
    install(alone, tmp_path / "b", "--index-url", f"{served.url}/simple", "tensorrt-llm")
    assert installed(tmp_path / "b") == {f"ours-{BLACKWELL}", "tiny_dep-1.0"}


@pytest.mark.parametrize("kind", SERVERS)
def test_what_was_built_from_a_lock_is_found_through_a_server(
    kind: str, make_build: Callable[..., Path], serve: Serve, tmp_path: Path
) -> None:
    wheel = make_build(lock={"sha256": "ab" * 32, "locked": True})
    add([judge(wheel, Allowed())], tmp_path / "index")
    served = serve(tmp_path / "index", kind)
    for base in (served.url, f"{served.url}/"):
        found = find_by_lock(base, "ab" * 32)
        assert found is not None and found.name == wheel.name
        with urlopen(found.location) as reply:
            assert hashlib.sha256(reply.read()).hexdigest() == found.sha256
    assert find_by_lock(served.url, "cd" * 32) is None
    for silent in ("http://127.0.0.1:9", "http://user:word@127.0.0.1:9", "http://[/"):
        with pytest.raises(PublishError, match="could not be asked") as caught:
            find_by_lock(silent, "ab" * 32)
        assert "word" not in str(caught.value)
    page = tmp_path / "index" / "locks" / f"{'ab' * 32}.json"
    for text in ("{}", "[]", "<html>", page.read_text().replace("files/", "../files/")):
        page.write_text(text)
        with pytest.raises(PublishError, match="is not what an index of ours says"):
            find_by_lock(served.url, "ab" * 32)


def test_nginx_serves_json_to_who_asks(index: Path, serve: Serve) -> None:
    served = serve(index, "nginx with JSON")
    ask = Request(f"{served.url}/simple/tensorrt-llm/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urlopen(ask) as reply:
        assert reply.headers.get_content_type() == "application/vnd.pypi.simple.v1+json"
        assert len(json.load(reply)["files"]) == 2
    with urlopen(f"{served.url}/simple/tensorrt-llm/") as reply:
        assert reply.headers.get_content_type() == "text/html"


@pytest.mark.parametrize("install", [pip, uv])
def test_a_higher_version_elsewhere_does_not_come_in(
    install: Callable[..., str], index: Path, public: Path, serve: Serve, alone: dict[str, str], tmp_path: Path
) -> None:
    """What the landing page says: our tree beside the public index, and our version with its label."""
    ours, theirs = serve(index).url, serve(public).url
    both = ("--index-url", f"{theirs}/simple/", "--extra-index-url", f"{ours}/v/cu130-sm89/simple/")
    install(alone, tmp_path / "a", *both, f"tensorrt-llm=={ADA}")
    assert f"ours-{ADA}" in installed(tmp_path / "a")
    # pip without a pin would take the decoy: this is why the page gives one.
    if install is pip:
        pip(alone, tmp_path / "b", *both, "tensorrt-llm")
        assert "ours-9.9.9" in installed(tmp_path / "b")


def test_the_landing_pages_lines_are_exact(
    index: Path, public: Path, serve: Serve, alone: dict[str, str], tmp_path: Path
) -> None:
    """A direct reference for pip and uv, and an explicit index for a uv project, as they stand on the page."""
    ours, theirs = serve(index), serve(public)
    with urlopen(f"{ours.url}/") as reply:
        page = reply.read().decode()
    page = page.replace('<span class="base">https://THIS-INDEX</span>', ours.url)
    line = next(
        line for line in page.splitlines() if line.startswith("<pre>pip install 'tensorrt-llm @") and ".sm89-" in line
    )
    requirement = re.sub(r"<pre>pip install '(.*)'</pre>", r"\1", line)
    for install, name in ((pip, "a"), (uv, "b")):
        install(alone, tmp_path / name, "--index-url", f"{theirs.url}/simple/", requirement)
        assert installed(tmp_path / name) == {f"ours-{ADA}", "tiny_dep-1.5"}
    wrong = requirement[:-4] + "0000"
    assert "hash" in pip(alone, tmp_path / "c", "--no-deps", wrong, fails=True).lower()

    project = tmp_path / "project"
    project.mkdir()
    at = page.index('<pre>[project]\ndependencies = ["tensorrt-llm==1.2.0+sd.cu130.sm89"]')
    snippet = page[at + len("<pre>[project]\n") : page.index("</pre>", at)]
    header = f'[project]\nname = "service"\nversion = "1"\nrequires-python = "==3.{sys.version_info.minor}.*"\n'
    (project / "pyproject.toml").write_text(header + snippet)
    before = len(ours.requests)
    run(alone, _uv(), "lock", "--default-index", f"{theirs.url}/simple/", cwd=project)
    lock = (project / "uv.lock").read_text()
    assert f'version = "{ADA}"' in lock and 'version = "1.5"' in lock and "9.9.9" not in lock
    # Resolved from METADATA alone: no wheel was fetched for it.
    asked = ours.requests[before:]
    assert any(path.endswith(".metadata") for path in asked) and not any(path.endswith(".whl") for path in asked)


@pytest.mark.parametrize("install", [pip, uv])
def test_a_wheel_of_other_bytes_is_refused(
    install: Callable[..., str],
    index: Path,
    serve: Serve,
    alone: dict[str, str],
    tmp_path: Path,
    make_wheel: Callable[..., Path],
) -> None:
    (wheel,) = (index / "files" / "tiny-dep").rglob("*.whl")
    other = make_wheel("tiny-dep", "1.0", directory=tmp_path / "other", content="print('other')")
    wheel.write_bytes(other.read_bytes())
    told = install(alone, tmp_path / "a", "--index-url", f"{serve(index).url}/simple/", "tiny-dep", fails=True)
    assert "hash" in told.lower() and not installed(tmp_path / "a")


@pytest.mark.parametrize("install", [pip, uv])
def test_a_yanked_version_is_passed_over_unless_it_is_asked_for(
    install: Callable[..., str], index: Path, serve: Serve, alone: dict[str, str], tmp_path: Path
) -> None:
    yank(index, f"tensorrt-llm=={BLACKWELL}", 'wrong "answers"')
    tree = ("--index-url", f"{serve(index).url}/simple/")
    install(alone, tmp_path / "a", *tree, "tensorrt-llm")
    assert f"ours-{ADA}" in installed(tmp_path / "a")
    told = install(alone, tmp_path / "b", *tree, f"tensorrt-llm=={BLACKWELL}")
    assert f"ours-{BLACKWELL}" in installed(tmp_path / "b") and 'wrong "answers"' in told
