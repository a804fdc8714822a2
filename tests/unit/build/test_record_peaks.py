"""The peaks in a record: also of a build whose cache had everything."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trtllm_builder.build.record import _peaks
from trtllm_builder.gate.learned import Learned, Measured
from trtllm_builder.plan.peaks import add_peaks, peaks_path


def test_known_peaks_stand_in_a_warm_builds_record(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path)}
    profile = SimpleNamespace(cuda=SimpleNamespace(architectures=[90]))
    request = SimpleNamespace(environ=environ, loaded=SimpleNamespace(profile=profile))
    run: Any = SimpleNamespace(
        log_directory=tmp_path / "logs",
        plan=SimpleNamespace(profile="p"),
        material=SimpleNamespace(request=request),
    )
    assert not _peaks(run).entries
    known = Learned({("a.cu", (sm,), 1, "x"): Measured(1, 5, 1.0) for sm in ("90a", "80")})
    add_peaks(peaks_path("p", environ), known, measured=True)
    assert [key[1] for key in _peaks(run).entries] == [("90a",)], "of these GPUs"
    (tmp_path / "logs").mkdir()
    add_peaks(tmp_path / "logs/peaks.json", Learned({("b.cu", (), 1, "x"): Measured(1, 5, 1.0)}), measured=True)
    assert {key[0] for key in _peaks(run).entries} == {"a.cu", "b.cu"}
