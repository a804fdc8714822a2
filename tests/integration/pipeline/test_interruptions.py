"""Stopped by hand, killed alone, found busy: the next run goes on (test_killed_anywhere.py kills at every stage)."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.integration


def begun(stage: str) -> Callable[[dict[str, Any]], bool]:
    return lambda event: event.get("stage") == stage and event.get("state") == "begun"


def test_killed_while_compiling_leaves_orphans_that_the_next_run_ends(
    builder: Any, left_running: Callable[[], list[str]]
) -> None:
    builder.words = ("--set", "build.ccache.enabled=false")
    assert builder.interrupt_when(lambda e: e.get("phase") == "build" and e.get("done", 0) >= 3, signal.SIGKILL) < 0
    assert any("build_wheel.py" in line for line in left_running()), "upstream goes on without us"
    events = builder.events()
    first = next(event for event in events if event["event"] == "progress" and event["phase"] == "build")
    assert builder.states(events)["fetch"] == "kept"
    assert first["total"] < 24, "what was compiled stays compiled"
    assert left_running() == []


@pytest.mark.parametrize(("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_hand_stops_the_whole_tree(
    builder: Any, left_running: Callable[[], list[str]], how: signal.Signals, status: int
) -> None:
    builder.words = ("--set", "build.ccache.enabled=false")
    assert builder.interrupt_when(lambda e: e.get("phase") == "build" and e.get("done", 0) >= 1, how) == status
    assert left_running() == []
    seen: dict[str, str] = {}

    def compiling_again(event: dict[str, Any]) -> bool:
        if event["event"] == "stage":
            seen[event["stage"]] = event["state"]
        return event.get("phase") == "build"

    assert builder.interrupt_when(compiling_again, how) == status
    assert seen["tools"] == seen["fetch"] == seen["patch"] == "kept" and seen["compile"] == "begun"


def test_a_half_generated_tree_is_not_trusted(builder: Any) -> None:
    # Stopped before configuring ended, with a cut file where upstream generates: it would be compiled as it is.
    assert builder.interrupt_when(begun("compile"), signal.SIGKILL) < 0
    generated = builder.workspace / "source/cpp/tensorrt_llm/kernels/contextFusedMultiHeadAttention/fmha_v2_cu"
    generated.mkdir(exist_ok=True)
    for old in generated.iterdir():
        old.unlink()
    (generated / "fmha_v2_flash_attention_fp16_sm89.cu").write_text("this is cut sho")
    builder.run()
    assert builder.wheel.is_file()


def test_a_busy_workspace_is_refused(builder: Any) -> None:
    seen = []

    def second(event: dict[str, Any]) -> bool:
        if not seen and event.get("stage") == "compile" and event.get("state") == "begun":
            seen.append(builder.run(expect=3).stderr)
            return True
        return False

    assert builder.interrupt_when(second, signal.SIGTERM) == 143
    assert "is in use by process" in seen[0] and "--workspace" in seen[0]
