"""The simulator of the unit tests, importable by name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if "gate_simulator" not in sys.modules:
    _PATH = Path(__file__).parents[2] / "unit" / "gate" / "simulator.py"
    _SPEC = importlib.util.spec_from_file_location("gate_simulator", _PATH)
    assert _SPEC and _SPEC.loader
    sys.modules["gate_simulator"] = importlib.util.module_from_spec(_SPEC)
    _SPEC.loader.exec_module(sys.modules["gate_simulator"])
