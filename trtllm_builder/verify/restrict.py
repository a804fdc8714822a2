"""Whether this host lets the smoke test shut a wheel in; the shutting itself is in restrict_child.py."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from trtllm_builder.process import run

CHILD = Path(__file__).with_name("restrict_child.py")


def trial(environ: Mapping[str, str], *, timeout: float = 10.0) -> str:
    """Why namespaces cannot be made here, empty when they can. Tried in a child; ``timeout`` in seconds."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as task:
        task.write(json.dumps({"progress": 1}))
        task.flush()
        done = run([sys.executable, "-I", "-S", CHILD, task.name, "/bin/true"], env=environ, timeout=timeout)
    if not done.ok:
        return done.last_line
    refused: dict[str, str] = json.loads(done.stdout.splitlines()[0])["refused"]
    return "; ".join(dict.fromkeys(refused.values()))
