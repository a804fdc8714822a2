"""What Slurm says, and what is said to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtllm_builder.ci import clusters
from trtllm_builder.ci.clusters import Handle, Slurm
from trtllm_builder.cli.fleet import _options
from trtllm_builder.errors import UsageError


def test_slurms_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    squeue = tmp_path / "squeue"
    squeue.write_text(
        "#!/bin/sh\nprintf '7|PENDING||Priority\\n8|RUNNING|n1|None\\n9|NODE_FAIL|n2|NodeDown\\nx\\n5|NEW||\\n'\n"
    )
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    states = Slurm({}).states([Handle(job) for job in ("7", "8", "9", "5", "1")])
    assert [(one.state, one.told, one.node) for one in states.values()] == [
        ("waiting", "pending (Priority)", ""), ("running", "running", "n1"), ("lost", "node_fail (NodeDown)", "n2"),
        ("unknown", "new", ""), ("ended", "Slurm knows it no more", ""),
    ]  # fmt: skip
    squeue.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1\n")
    (state,) = Slurm({}).states([Handle("7")]).values()
    assert (state.state, "Unable to contact" in state.told) == ("unknown", True)


@pytest.mark.parametrize("text", ["", "partition", "=x", "a b=c", "x='$(id)'", 'a="b"', "a=b\nc", "a=`id`", "--x=\\"])
def test_an_option_that_would_not_stay_one_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        _options([text])
    assert _options(["mail-type=END", "partition=long"]) == {"mail_type": "END", "partition": "long"}


def test_what_sbatch_said_is_found_in_what_is_said_around_it() -> None:
    said = ["sbatch: error: invalid partition: x", "sbatch: error: Batch job submission failed"]
    told = "invalid partition: x; Batch job submission failed"
    assert clusters._reason(["Command failed:", *said, *said, "the end"]) == told
