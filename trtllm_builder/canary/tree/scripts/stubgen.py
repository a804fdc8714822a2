"""Writes .pyi stubs of a compiled module by importing it: `stubgen.py -o DIRECTORY MODULE` (in the place of nanobind's)."""
import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType


def write_stub(module, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for name, value in sorted(vars(module).items()):
        if name.startswith("__"):
            continue
        if isinstance(value, ModuleType):
            write_stub(value, path.parent / f"{name}.pyi")
            lines.append(f"from . import {name} as {name}")
        elif callable(value):
            lines.append(f"def {name}(*args): ...")
        else:
            lines.append(f"{name}: {type(value).__name__}")
    path.write_text("".join(line + "\n" for line in lines))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", default=".", dest="directory", type=Path)
    parser.add_argument("module")
    args = parser.parse_args()
    sys.path.insert(0, str(Path.cwd()))
    module = importlib.import_module(args.module)
    nested = any(isinstance(value, ModuleType) for value in vars(module).values())
    write_stub(module, args.directory / (f"{args.module}/__init__.pyi" if nested else f"{args.module}.pyi"))


if __name__ == "__main__":
    main()
