"""The toys of the unit tests, for tests that take longer."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_PATH = Path(__file__).parents[2] / "unit" / "verify" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("verify_toys", _PATH)
assert _SPEC and _SPEC.loader
_TOYS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_TOYS)
make_wheel, make_library, attempt = _TOYS.make_wheel, _TOYS.make_library, _TOYS.attempt
