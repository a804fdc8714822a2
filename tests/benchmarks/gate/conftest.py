"""The simulator of the unit tests, importable by name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_PATH = Path(__file__).resolve().parents[2] / "unit/gate/conftest.py"
_SPEC = importlib.util.spec_from_file_location("gate_conftest", _PATH)
assert _SPEC and _SPEC.loader
_SPEC.loader.exec_module(importlib.util.module_from_spec(_SPEC))
