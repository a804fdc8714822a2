"""Asks the NVIDIA driver itself, in a process of its own: a sick driver blocks, and one initialised here would be of
no use to whatever is forked later. Only the standard library; prints one JSON object.
"""

from __future__ import annotations

import ctypes
import json
from typing import Any

# CUDA driver API: CUdevice_attribute, CUresult
_MAJOR, _MINOR = 75, 76
_STUB_LIBRARY = 34


def load(name: str) -> Any:
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def error_text(cuda: Any, code: int) -> str:
    parts = []
    for function in ("cuGetErrorName", "cuGetErrorString"):
        text = ctypes.c_char_p()
        if getattr(cuda, function)(code, ctypes.byref(text)) == 0 and text.value:
            parts.append(text.value.decode("utf-8", "replace"))
    return ": ".join(parts) or f"error {code}"


def devices(cuda: Any) -> list[dict[str, object]]:
    count = ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    found = []
    for index in range(count.value):
        device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        name, memory = ctypes.create_string_buffer(128), ctypes.c_size_t()
        cuda.cuDeviceGet(ctypes.byref(device), index)
        cuda.cuDeviceGetName(name, len(name), device)
        cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, device)
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, device)
        found.append(
            {
                "name": name.value.decode("utf-8", "replace"),
                "compute": f"{major.value}.{minor.value}",
                "memory": memory.value,
            }
        )
    return found


def main() -> None:
    told: dict[str, object] = {"nvml": load("libnvidia-ml.so.1") is not None, "library": False}
    cuda = load("libcuda.so.1")
    if cuda is not None:
        version = ctypes.c_int()
        known = cuda.cuDriverGetVersion(ctypes.byref(version)) == 0 and version.value > 0
        code = cuda.cuInit(0)
        told |= {
            "library": True,
            "cuda": f"{version.value // 1000}.{version.value % 1000 // 10}" if known else None,
            "stub": code == _STUB_LIBRARY,
            "error": error_text(cuda, code) if code else "",
            "devices": [] if code else devices(cuda),
        }
    print(json.dumps(told))  # noqa: T201 - its one line of output


if __name__ == "__main__":
    main()
