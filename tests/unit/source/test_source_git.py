"""The environment that our git gets, asked of git itself."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from trtllm_builder.errors import HostError
from trtllm_builder.source.git import CONFIG, config_variables, find_git
from trtllm_builder.source.urls import parse_url


def test_only_what_is_allowed_passes() -> None:
    environ = {
        "PATH": os.environ["PATH"], "HOME": "/h", "https_proxy": "http://p", "GIT_SSL_CAINFO": "/ca", "GIT_DIR": "/x",
        "GIT_CONFIG_PARAMETERS": "'core.pager=evil'", "GIT_EXTERNAL_DIFF": "evil", "SSH_ASKPASS": "evil",
        "AWS_SECRET_ACCESS_KEY": "s", "LD_PRELOAD": "evil", "GIT_SSH_COMMAND": "evil", "GIT_PROXY_COMMAND": "evil",
    }  # fmt: skip
    given = find_git(environ).environment(parse_url("https://h/x"))
    assert given["https_proxy"] == "http://p" and given["GIT_SSL_CAINFO"] == "/ca" and given["HOME"] == "/h"
    assert given["GIT_ALLOW_PROTOCOL"] == "https" and given["LC_ALL"] == "C"
    assert "evil" not in str(given) and not {"GIT_DIR", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD"} & set(given)


def test_credentials_are_a_header_for_their_url_only() -> None:
    git = find_git({"PATH": os.environ["PATH"]})
    given = git.environment(parse_url("https://me:t@h/x"))
    said = {
        url: subprocess.run(
            ["git", "config", "--get-urlmatch", "http.extraHeader", url], env=given, capture_output=True, text=True
        ).stdout.strip()
        for url in ("https://h/x/info/refs", "https://other/x")
    }
    assert said == {"https://h/x/info/refs": "Authorization: Basic bWU6dA==", "https://other/x": ""}
    assert "extraHeader" not in str(git.environment(parse_url("https://h/x")))


def test_git_reads_our_file_and_no_other(tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = evil\n")
    git = find_git({"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)})
    listed = git.run("config", "--list", "--show-origin", directory=tmp_path).stdout
    origins = {line.split("\t")[0] for line in listed.splitlines()}
    assert origins <= {f"file:{CONFIG}", "command line:"} and "evil" not in listed
    assert "gc.auto=0" in listed and "core.hookspath=/dev/null" in listed.lower()


def test_configuration_by_environment() -> None:
    assert config_variables([]) == {"GIT_CONFIG_COUNT": "0"}
    assert config_variables([("a.b", "c")]) == {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "a.b",
        "GIT_CONFIG_VALUE_0": "c",
    }


def test_no_git_and_an_old_git_are_said(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="git is not installed") as caught:
        find_git({"PATH": str(tmp_path)})
    assert "apt-get install git" in caught.value.remedy
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.25.1\n")
    old.chmod(0o755)
    with pytest.raises(HostError, match=r"git version 2\.25\.1, which is too old"):
        find_git({"PATH": f"{tmp_path}:{os.environ['PATH']}"})
