"""Coverage-guided fuzzing: python tests/fuzz/fuzz.py --reader=fatbin|elf|wheel DIRECTORY [-max_total_time=200]

Needs atheris, which has wheels for Python 3.11 to 3.13. DIRECTORY grows with what is found; the corpus beside this
file is read first and left as it is. CI only replays that corpus. ``-set_cover_merge=1 NEW DIRECTORY...`` writes to NEW
a small set of inputs with the same coverage.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

with atheris.instrument_imports(include=["trtllm_builder"]):
    from targets import TARGETS

if __name__ == "__main__":
    # libFuzzer passes over options with two dashes, and starts itself again through a shell with all of them.
    reader = next(argument.split("=")[1] for argument in sys.argv if argument.startswith("--reader="))
    merging = any("merge" in argument for argument in sys.argv)
    seeds = [] if merging else [str(HERE / "corpus" / reader)]
    command = [f"{sys.executable} {__file__}", *sys.argv[1:], *seeds]
    atheris.Setup([*command, "-max_len=16384", "-timeout=10", "-rss_limit_mb=1024"], TARGETS[reader])
    atheris.Fuzz()
