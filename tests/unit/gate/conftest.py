"""The simulator, importable by name: pytest's importlib mode knows no neighbours."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

if "gate_simulator" not in sys.modules:
    _SPEC = importlib.util.spec_from_file_location("gate_simulator", Path(__file__).with_name("simulator.py"))
    assert _SPEC and _SPEC.loader
    sys.modules["gate_simulator"] = importlib.util.module_from_spec(_SPEC)
    _SPEC.loader.exec_module(sys.modules["gate_simulator"])
