"""The simulator, importable by name: pytest's importlib mode knows no neighbours."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

# The second takes from the first.
for _name, _file in (("gate_simulator", "simulator.py"), ("gate_simulated", "simulated_gate.py")):
    if _name not in sys.modules:
        _SPEC = importlib.util.spec_from_file_location(_name, Path(__file__).with_name(_file))
        assert _SPEC and _SPEC.loader
        sys.modules[_name] = importlib.util.module_from_spec(_SPEC)
        _SPEC.loader.exec_module(sys.modules[_name])
