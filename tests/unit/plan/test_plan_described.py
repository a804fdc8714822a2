"""A machine from a JSON file that may hold anything."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.errors import UsageError
from trtllm_builder.plan.described import read_situation
from trtllm_builder.plan.recommend import recommend
from trtllm_builder.plan.releases import judge
from trtllm_builder.plan.situation import Situation
from trtllm_builder.upstream.catalogue import rows


def test_a_machine_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "host.json"
    path.write_text(
        '{"driver": "570.195.03", "gpus": ["8.9"], "cuda": "12.4", "glibc": "2.35", "pythons": ["3.10"], '
        '"disk_free": "50 GB", "place": "/workspace", "memory": "64 GiB", "machine": "aarch64"}'
    )
    assert read_situation(path) == Situation(
        driver="570.195.03", architectures=(89,), cuda="12.4", glibc="2.35", pythons=("3.10",), disk=50 * 10**9,
        place="/workspace", memory=64 * 2**30, machine="aarch64",
    )  # fmt: skip
    path.write_text("{}")
    assert read_situation(path) == Situation()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r":1:2: this is not JSON"),
        ("[]", r"this is no object"),
        ('{"gpu": []}', r"\"gpu\" is nothing that describes a machine"),
        ('{"gpus": "8.9"}', r"`gpus` cannot be \"8\.9\""),
        ('{"gpus": ["89"]}', r"`gpus` cannot be \[\"89\"\]"),
        ('{"gpus": [8.9]}', r"`gpus` cannot be \[8\.9\]"),
        ('{"driver": 570}', r"`driver` cannot be 570"),
        ('{"driver": "new"}', r"`driver` cannot be \"new\""),
        ('{"disk_free": "much"}', r"`disk_free` cannot be \"much\""),
        ('{"disk_free": true}', r"`disk_free` cannot be true"),
        ('{"memory": -1}', r"`memory` cannot be -1"),
        ('{"place": "here"}', r"`place` cannot be \"here\""),
        ('{"place": "/a\\u001b[2J"}', r"`place` cannot be"),
        ('{"place": "/a\\ud800"}', r"`place` cannot be"),
        ('{"glibc": "2.x"}', r"`glibc` cannot be \"2\.x\""),
        ('{"pythons": ["3.10.4"]}', r"`pythons` cannot be \[\"3\.10\.4\"\]"),
        ('{"cuda": "12.a.b"}', r"`cuda` cannot be \"12\.a\.b\""),
        ('{"driver": "\u0665\u0667\u0660"}', r"`driver` cannot be"),
        ('{"gpus": ["\u0668.\u0669"]}', r"`gpus` cannot be"),
        ('{"machine": "riscv64"}', r"`machine` cannot be \"riscv64\""),
        ('{"memory": 1e400}', r"`memory` cannot be Infinity"),
        ('{"memory": ' + "9" * 400 + "}", r"`memory` cannot be 999"),
        ('{"disk_free": "' + "9" * 39 + ' "}', r"`disk_free` cannot be"),
        ('{"disk_free": ' + "9" * 5000 + "}", r"a number of too many digits"),
        ("[" * 100_000, r"this is nested too deeply"),
        ('{"gpus": ' + "[" * 500 + "]" * 500 + "}", r"`gpus` cannot be"),
        (" " * 2**20 + "{}", r"cannot be read: it is larger than 1 MiB"),
    ],
)
def test_what_describes_no_machine(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "host.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_situation(path)


@pytest.mark.parametrize("name", ["absent.json", ".", "fifo"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match="cannot be read: ") as caught:
        read_situation(tmp_path / name)
    assert caught.value.exit_code == 2


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["driver", "gpus", "cuda", "glibc", "pythons", "disk_free", "place", "memory", "machine"]),
        st.text("0123456789.axE \u0665", max_size=9)
        | st.lists(st.text("0123.", max_size=4), max_size=2)
        | st.integers(),
    )
)
def test_whatever_is_taken_can_be_judged(document: dict[str, object]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(document, file)
        file.flush()
        try:
            machine = read_situation(Path(file.name))
        except UsageError:
            return
    assert recommend(tuple(judge(row, machine) for row in rows()), machine).reason
