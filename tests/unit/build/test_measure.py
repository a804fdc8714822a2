"""Processes, the cache's log and CMake's commands as they are read while a build goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from trtllm_builder.build.cache_log import CacheLog
from trtllm_builder.build.commands import CompileCommand, read_commands
from trtllm_builder.build.measure import SessionMeter


def test_a_session_is_measured_with_those_that_ended(tmp_path: Path) -> None:
    # "ninja" runs one step that burns processor time and then one that sleeps on 50 MB.
    burn = tmp_path / "burn.py"
    burn.write_text("import time\nwhile time.process_time() < 0.3: pass")
    sleep = tmp_path / "sleep.py"
    sleep.write_text("x = bytearray(50_000_000); print('up', flush=True); import time; time.sleep(60)")
    ninja = tmp_path / "ninja"
    ninja.symlink_to("/bin/sh")
    line = f"{sys.executable} {burn} -o dir/a.cu.o; {sys.executable} {sleep} -o 'dir/b.cu.o'; true"
    child = subprocess.Popen([ninja, "-c", line], start_new_session=True, stdout=subprocess.PIPE)
    try:
        meter = SessionMeter(child.pid)
        assert child.stdout is not None and child.stdout.readline() == b"up\n"
        usage = meter.read()
        assert usage.cpu >= 0.3 and 50_000_000 < usage.memory < 120_000_000
        assert [job.output for job in usage.jobs] == ["dir/b.cu.o"]
        time.sleep(0.05)
        assert meter.read().jobs[0].seconds >= 0.05
    finally:
        os.killpg(child.pid, 9)
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    # Memory goes first; a moment later it is a zombie, or nothing.
    while (usage := meter.read()).memory or usage.jobs:
        time.sleep(0.01)
    assert usage.cpu >= 0.3


def test_a_step_that_waits_at_the_gate_has_not_begun(tmp_path: Path) -> None:
    ninja, client = tmp_path / "ninja", tmp_path / "client"
    ninja.symlink_to("/bin/sh")
    client.symlink_to("/bin/sleep")
    line = f"sh -c '{client} 60; true' sh -o a.o & sh -c 'sleep 60; true' sh -o b.o & wait"
    child = subprocess.Popen([ninja, "-c", line], start_new_session=True)
    try:
        meter = SessionMeter(child.pid)
        while len(meter.read().jobs) < 2 or not (waiting := _running(client)):
            time.sleep(0.01)
        time.sleep(0.2)
        assert [job.output for job in meter.read(waiting).jobs] == ["b.o"]
        started = next(job for job in meter.read().jobs if job.output == "a.o")
        assert started.seconds < 0.2, "what it waited does not count"
    finally:
        os.killpg(child.pid, 9)
        child.wait()


def _running(program: Path) -> frozenset[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(bytes(program)):
                found.add(int(entry.name))
    return frozenset(found)


def test_another_sessions_processes_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from trtllm_builder.build import measure

    looked: list[int] = []
    real = measure._stat
    monkeypatch.setattr(measure, "_stat", lambda pid: looked.append(pid) or real(pid))
    meter = SessionMeter(os.getsid(0) + 10**6)
    meter.read()
    first = len(looked)
    meter.read()
    assert first >= 1 and len(looked) - first < max(5, first // 2)


def test_the_cache_tells_hits_by_source(tmp_path: Path) -> None:
    path = tmp_path / "stats"
    path.write_text("# /old.cu\ncache_miss\n")
    log = CacheLog(path, Path("/w/build"))
    log.read()
    assert (log.hits, log.misses) == (0, 0)
    with path.open("a") as stream:
        stream.write("# ../source/a b.cu\ncache_miss\ndirect_cache_miss\n# /w/source/c.cpp\npreprocessed_cache")
    log.read()
    with path.open("a") as stream:
        stream.write("_hit\n# d.c\ncalled_for_link\n")
    log.read()
    assert (log.hits, log.misses) == (1, 1)
    assert log.hit == {"/w/source/a b.cu": False, "/w/source/c.cpp": True}


def test_commands_are_read_one_by_one_as_cmake_lays_them_out(tmp_path: Path) -> None:
    entries = [
        {"directory": "/b", "command": 'g++ -DX="{" -c /s/a.cpp', "file": "/s/a.cpp", "output": "d/a.cpp.o"},
        {"directory": "/b", "arguments": ["cc", "b.c"], "file": "/s/b.c"},
    ]
    path = tmp_path / "compile_commands.json"
    lines = ["[", *",\n".join("{\n" + json.dumps(e, indent=2)[2:-2] + "\n}" for e in entries).splitlines(), "]"]
    expected = [
        CompileCommand("/s/a.cpp", "d/a.cpp.o", 'g++ -DX="{" -c /s/a.cpp'), CompileCommand("/s/b.c", "", "cc b.c"),
    ]  # fmt: skip
    for text in ("\n".join(lines), json.dumps(entries)):
        path.write_text(text)
        assert list(read_commands(tmp_path)) == expected
    for text in ("\n".join(lines[:4]), "[1]", "{", ""):
        path.write_text(text)
        with pytest.raises(ValueError):
            list(read_commands(tmp_path))
