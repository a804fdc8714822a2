from __future__ import annotations

from collections.abc import Callable

import pytest

from trtllm_builder.plan.paths import expand
from trtllm_builder.plan.request import Request


@pytest.mark.parametrize(
    ("text", "environ", "path"),
    [
        ("~/cuda", {"HOME": "/home/me"}, "/home/me/cuda"),
        ("~/", {"HOME": "/home/me"}, "/home/me"),
        ("~/cuda", {}, "/cuda"),
        ("/opt/~/cuda", {"HOME": "/home/me"}, "/opt/~/cuda"),
        ("auto", {"HOME": "/home/me"}, "auto"),
        ("~other/cuda", {"HOME": "/home/me"}, "~other/cuda"),
        ("~//etc", {"HOME": "/home/me"}, "/home/me/etc"),
    ],
)
def test_expand(text: str, environ: dict[str, str], path: str) -> None:
    assert expand(text, environ) == path


def test_every_path_of_a_profile_is_expanded_with_the_caller_s_home(make_request: Callable[..., Request]) -> None:
    profile = make_request(
        """\
schema: 1
python: "3.10"
source: {ref: main}
cuda: {architectures: [89], toolkit: ">=12", root: ~/cuda, archive: ~/cuda.run}
tensorrt: {root: ~/trt, archive: ~/trt.tar.gz}
workspace: [~/data, cache, /data]
build: {ccache: {dir: ~/ccache}}
""",
        environ={"HOME": "/h"},
    ).loaded.profile
    assert (profile.cuda.root, profile.cuda.archive) == ("/h/cuda", "/h/cuda.run")
    assert (profile.tensorrt.root, profile.tensorrt.archive) == ("/h/trt", "/h/trt.tar.gz")
    assert profile.workspace == ("/h/data", "cache", "/data")
    assert profile.build.ccache.dir == "/h/ccache" and profile.build.ccache.enabled
    assert profile.origins["cuda.root"].endswith("mine.yaml:4:52")
