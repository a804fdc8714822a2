"""What belongs to a package beside its own directory: the console script, and other top-level packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from trtllm_builder.upstream.audit.audit import audit
from trtllm_builder.upstream.audit.package import Package
from trtllm_builder.upstream.audit.scripts import members, scripts
from trtllm_builder.upstream.tree import Tree


def tree(root: Path, **files: str) -> Tree:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Tree(root)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("setup.py", "setup(entry_points={'console_scripts': [\n 'trtllm-serve=tensorrt_llm.cli:main',\n]})"),
        ("setup.py", 'setup(entry_points={"console_scripts": ["trtllm-serve = tensorrt_llm.cli : main [x]"]})'),
        ("setup.cfg", "[options.entry_points]\nconsole_scripts =\n    trtllm-serve = tensorrt_llm.cli:main\n"),
        ("pyproject.toml", '[project.scripts]\ntrtllm-serve = "tensorrt_llm.cli:main"\n'),
        ("pyproject.toml", "[project.scripts]\n'trtllm-serve' = 'tensorrt_llm.cli:main'\n"),
        ("tensorrt_llm-1.0.dist-info/entry_points.txt", "[console_scripts]\ntrtllm-serve=tensorrt_llm.cli:main\n"),
    ],
)
def test_where_the_console_script_is_declared(tmp_path: Path, file: str, text: str) -> None:
    (script,) = scripts(tree(tmp_path, **{file: "\n" + text}))
    assert (script.module, script.function, script.path) == ("tensorrt_llm.cli", "main", file)
    assert "trtllm-serve" in ("\n" + text).splitlines()[script.line - 1]


def test_another_distribution_s_script_is_not_ours(tmp_path: Path) -> None:
    assert not scripts(tree(tmp_path, **{"other-1.dist-info/entry_points.txt": "[c]\ntrtllm-serve=other:main\n"}))


def test_an_entry_point_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    files = {"tensorrt_llm/__init__.py": "", "tensorrt_llm/commands/serve.py": "def main(): pass\n"}
    root = tree(tmp_path, **files, **{"setup.py": "x = ['trtllm-serve=elsewhere.serve:main']\n"})
    (unknown,) = audit(Package.of_tree(root)).entry("serve").unknown
    assert (str(unknown.place), unknown.what) == (
        "setup.py:1",
        "trtllm-serve is elsewhere.serve:main, which was not found here",
    )


def test_a_serve_module_without_a_function_that_serves_is_unknown(tmp_path: Path) -> None:
    root = tree(tmp_path, **{"tensorrt_llm/__init__.py": "", "tensorrt_llm/commands/serve.py": "def go(): pass\n"})
    assert audit(Package.of_tree(root)).entry("serve").verdict == "unknown"


def test_in_a_site_packages_only_what_the_record_names_is_looked_into(tmp_path: Path) -> None:
    mpi = "from mpi4py import MPI\n"
    root = tree(
        tmp_path,
        **{
            "tensorrt_llm/__init__.py": "import other, ours\n",
            "other/__init__.py": mpi,
            "ours/__init__.py": mpi,
            "other-1.dist-info/RECORD": "other/__init__.py,,\n",
            "tensorrt_llm-1.0.dist-info/RECORD": 'ours/__init__.py,,\n"tensorrt_llm/__init__.py",,\n../../bin/x,,\n',
        },
    )
    assert (members(root) or frozenset()) >= {"ours", "tensorrt_llm"}
    touches = audit(Package.of_tree(root)).entry("import").touches
    assert [touch.place.file for touch in touches] == ["ours/__init__.py"]


def test_a_patched_package_is_read_anew_only_where_it_changed(tmp_path: Path) -> None:
    files = {"tensorrt_llm/__init__.py": "from . import a, b\n", "tensorrt_llm/a.py": "import mpi4py\n"}
    package = Package.of_tree(tree(tmp_path, **files, **{"tensorrt_llm/b.py": "def (:\n"}))
    before = audit(package)
    after = audit(package.patched({"tensorrt_llm/a.py": b"x = 1\n"}))
    assert (before.entry("import").verdict, after.entry("import").verdict) == ("touches MPI", "unknown")
    assert before.notes == after.notes
    assert package.patched({}).parsed("tensorrt_llm/__init__.py") is package.parsed("tensorrt_llm/__init__.py")
