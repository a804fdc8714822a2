"""What can go wrong around compilers while a build goes on: it ends well, or clearly, and goes on from there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trtllm_builder.gate.launcher import set_slots
from trtllm_builder.process import end_group

pytestmark = pytest.mark.integration
MIB = 2**20


def test_killed_supervisor_leaves_no_more_compilers_than_slots_and_none_for_ever(gated: Any, until: Any) -> None:
    """ninja and the clients live on without it: two at a time by locks, until all is done."""
    for _ in range(7):
        gated.step(5, 0.5)
    child = gated.begin(reserve=2**45, expected=MIB)
    until(lambda: gated.kinds("started") and len(gated.kinds("waits")) >= 6)
    child.kill()
    most = 0

    def done() -> bool:
        nonlocal most
        most = max(most, len(gated.living()))
        return len(gated.made) == 7

    until(done)
    # The one that had been let in has one of the slots.
    assert most == 2 and (gated.root / "gate/lost").exists()
    until(lambda: not gated.living())
    # And it can be gone on with: nothing is left to do.
    assert gated.run(reserve=0, expected=MIB)["status"] == 0
    assert len(gated.kinds("opened")) == 2


def test_killed_client_fails_its_step_and_the_next_run_makes_it(gated: Any, until: Any) -> None:
    gated.step(5, 30, "", "long")
    gated.step(5, 0.1)
    child = gated.begin(reserve=0, expected=MIB)
    until(lambda: gated.kinds("ended") and gated.living())
    pid = gated.living()[0]
    os.kill(int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    killed = time.monotonic()
    told = json.loads(child.communicate(timeout=30)[0])
    assert time.monotonic() - killed < 10, "its compiler does not live on"
    assert told["status"] != 0 and told["failure"] == "None" and told["again"] == 0
    assert "FAILED" in gated.log and "long.o" in gated.log
    assert told["lost"] == ["long.o"] and not gated.living()
    gated.steps[0] = "long 5 0.1 "
    assert gated.run(reserve=0, expected=MIB)["status"] == 0 and gated.made == {"long", "s1"}


def test_a_limit_that_is_lowered_meanwhile_is_kept(gated: Any, cgroup: Any, until: Any) -> None:
    """Four at once fit at first, then one and a half."""
    cgroup.limit(1200)
    for _ in range(24):
        gated.step(200, 0.4)
    child = gated.begin(reserve=60 * MIB, expected=210 * MIB, enter=cgroup.enter)
    until(lambda: len(gated.kinds("started")) >= 4)
    for mib in range(1150, 449, -50):
        # The kernel refuses a limit below what is held just now.
        until(lambda mib=mib: _lowered(cgroup, mib))
    started = len(gated.kinds("started"))
    told = json.loads(child.communicate(timeout=60)[0])
    # Those that had been let in before may have been killed for it, and were run again.
    assert told["status"] == 0 and told["killed"] == [] and len(gated.made) == 24
    after = gated.kinds("budget")[-3:]
    assert started < 20 and all(event["running"] <= 2 for event in after)


def _lowered(cgroup: Any, mib: int) -> bool:
    try:
        cgroup.limit(mib)
    except OSError:
        return False
    return True


def test_a_compiler_that_ignores_sigterm_is_ended_all_the_same(gated: Any, until: Any) -> None:
    for _ in range(2):
        gated.step(5, 60, "deaf")
    child = gated.begin(reserve=0, expected=MIB)
    until(lambda: len(gated.living()) == 2)
    session = os.getsid(gated.living()[0])
    started = time.monotonic()
    end_group(session, grace=0.5)
    assert time.monotonic() - started < 5 and not gated.living()
    told = json.loads(child.communicate(timeout=30)[0])
    assert told["status"] != 0 and told["failure"] == "None"


@pytest.fixture
def small_disk(gated: Any) -> Iterator[Path]:
    """The whole directory is on it, the gate too."""
    gated.root = gated.root / "disk"
    gated.root.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", gated.root], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    subprocess.run(["cp", "-a", gated.root.parent / "gate", gated.root], check=True)
    yield gated.root
    subprocess.run(["umount", "--lazy", gated.root], check=True)


def test_a_full_disk_is_the_compilers_own_failure_and_it_goes_on_when_there_is_room(
    gated: Any, small_disk: Path, until: Any
) -> None:
    for _ in range(3):
        gated.step(5, 1.5)
    child = gated.begin(reserve=0, expected=MIB)
    until(lambda: gated.living())
    filler = small_disk / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"], capture_output=True, check=False)
    out, _ = child.communicate(timeout=30)
    # Our own log cannot be written either: that is no reason to let the broker die.
    assert child.returncode != 0 or json.loads(out)["status"] != 0
    filler.unlink()
    set_slots(small_disk / "gate", 2)
    assert gated.run(reserve=0, expected=MIB)["status"] == 0 and len(gated.made) == 3


def test_without_a_broker_a_full_disk_takes_no_slots_away(gated: Any, small_disk: Path) -> None:
    subprocess.run(["dd", "if=/dev/zero", f"of={small_disk / 'filler'}", "bs=4k"], capture_output=True, check=False)
    children = [subprocess.Popen([small_disk / "gate/client", "sleep", "0.4"]) for _ in range(4)]
    started = time.monotonic()
    assert [child.wait(20) for child in children] == [0] * 4
    assert time.monotonic() - started >= 0.75, "two at a time"
