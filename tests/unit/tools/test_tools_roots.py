"""CUDA toolkits and TensorRT: machines', named ones, handed-over archives, and the advice when there is none."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from trtllm_builder.errors import HostError, UsageError
from trtllm_builder.tools.catalogue import TOOLS
from trtllm_builder.tools.tensorrt import choose_tensorrt, judge_tensorrt, obtain_tensorrt
from trtllm_builder.tools.toolkit import choose_toolkit, find_toolkit, obtain_toolkit
from trtllm_builder.tools.tree import complete_links, missing_parts
from trtllm_builder.tools.unpack import unpack_toolkit

NVCC = """#!/bin/sh
case "$1" in
--version) echo "Cuda compilation tools, release {release}, V{release}.61" ;;
--dryrun) echo "#\\$ TOP=$(dirname "$(readlink -f "$0")")/.." >&2 ;;
esac
"""
PATH = "/usr/bin:/bin"


def silent(_line: str) -> None:
    pass


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")


def toolkit(root: Path, release: str = "12.9", libraries: str = "lib64") -> Path:
    touch(root, "bin/ptxas", "bin/cudafe++", "bin/fatbinary", "nvvm/bin/cicc", "bin/nvcc")
    touch(root, "include/cuda_runtime.h", "include/crt/host_config.h", "include/nv/target")
    touch(root, f"{libraries}/libcudart.so", f"{libraries}/libcudart_static.a")
    (root / "bin/nvcc").write_text(NVCC.format(release=release))
    (root / "bin/nvcc").chmod(0o755)
    return root


def tensorrt(root: Path, version: str = "10.10.0.31", *, indirect: bool = False) -> Path:
    touch(root, "lib/libnvinfer.so.10")
    (root / "include").mkdir()
    lines = []
    for part, number in zip(("MAJOR", "MINOR", "PATCH", "BUILD"), version.split("."), strict=True):
        if indirect:
            lines += [
                f"#define TRT_{part}_ENTERPRISE {number}",
                f"#define NV_TENSORRT_{part} TRT_{part}_ENTERPRISE //!< x",
            ]
        else:
            lines.append(f"#define NV_TENSORRT_{part} {number} //!< TensorRT version.")
    (root / "include/NvInferVersion.h").write_text("\n".join(lines))
    return root


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose usual places hold nothing."""
    monkeypatch.setattr("trtllm_builder.tools.toolkit._USUAL", Path("/nowhere"))
    monkeypatch.setattr("trtllm_builder.tools.tensorrt._USUAL", ())


def test_a_named_root_is_taken_and_an_unfit_one_says_why(tmp_path: Path) -> None:
    root = toolkit(tmp_path / "cuda")
    found = find_toolkit(str(root), ">=12.8,<13", {"PATH": PATH})
    assert found is not None
    assert (found.root, found.version, found.nvcc) == (root, "12.9.61", root / "bin/nvcc")
    for specifier, harm, why in (
        (">=13", None, "12.9.61 is not >=13"),
        (">=12.8", "nvvm/bin/cicc", "lacks nvvm/bin/cicc"),
        (">=12.8", "bin/nvcc", "there is no bin/nvcc"),
    ):
        if harm:
            (root / harm).unlink()
        with pytest.raises(HostError) as caught:
            find_toolkit(str(root), specifier, {"PATH": PATH})
        assert why in caught.value.what
    with pytest.raises(UsageError):
        find_toolkit(str(root), "12.8+", {"PATH": PATH})


@pytest.mark.usefixtures("bare")
def test_a_wrapper_on_path_leads_to_the_toolkit_it_belongs_to(tmp_path: Path) -> None:
    root = toolkit(tmp_path / "cuda-12.9", libraries="targets/x86_64-linux/lib")
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin/nvcc"
    wrapper.write_text(f'#!/bin/sh\nexec {root}/bin/nvcc "$@"\n')
    wrapper.chmod(0o755)
    found = find_toolkit("auto", ">=12.8,<13", {"PATH": f"{tmp_path}/bin:{PATH}"})
    assert found is not None
    assert found.nvcc == root / "bin/nvcc"
    assert found.origin == f"{wrapper} on PATH"


@pytest.mark.usefixtures("bare")
def test_what_was_passed_over_is_told(tmp_path: Path) -> None:
    old = toolkit(tmp_path / "old", "12.4")
    (tmp_path / "fit").mkdir()
    environ = {"CUDA_HOME": str(old), "CUDA_PATH": str(toolkit(tmp_path / "fit")), "PATH": PATH}
    choice = choose_toolkit("auto", ">=12.8,<13", environ, data_dir=tmp_path)
    assert (choice.origin, choice.version) == ("machine", "12.9.61")
    assert f"passed over {old}: 12.4.61 is not >=12.8,<13" in choice.reason


@pytest.mark.usefixtures("bare")
def test_ours_comes_from_wheels_only_where_the_profile_allows_it(tmp_path: Path) -> None:
    environ = {"PATH": PATH}
    ours = choose_toolkit("auto", "==13.0.*", environ, wheels=True, data_dir=tmp_path)
    assert (ours.origin, ours.version, ours.toolkit) == ("ours", TOOLS["cuda13"].version, None)
    assert ours.size == TOOLS["cuda13"].installed
    for specifier, wheels in (("==13.0.*", False), (">=12.8,<13", True)):
        absent = choose_toolkit("auto", specifier, environ, wheels=wheels, data_dir=tmp_path)
        assert absent.origin == "absent"
        assert absent.advice is not None
        assert f"--toolkitpath={tmp_path}/cuda" in absent.advice.remedy
        assert absent.advice.download[1] <= absent.advice.installed[1]
        assert json.loads(json.dumps(absent.to_json()))["advice"]["steps"][2]["command"].startswith("mkdir -p ")
        with pytest.raises(HostError, match="no CUDA toolkit"):
            obtain_toolkit(absent, specifier, environ, silent, data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


RUNFILE = """#!/bin/sh
# A stand-in for NVIDIA's installer: takes its options, refuses what would touch the system.
for word in "$@"; do
  case "$word" in
    --toolkitpath=*) target=${word#--toolkitpath=} ;;
    --tmpdir=*) [ -d "${word#--tmpdir=}" ] || exit 3 ;;
    --silent|--override|--toolkit|--defaultroot=*|--no-man-page|--no-opengl-libs|--no-drm) ;;
    *) echo "unknown option $word" >&2; exit 2 ;;
  esac
done
[ "$HOME" != "$REAL_HOME" ] || exit 4
echo run >> "$COUNTER"
FAIL
cp -r "$SAMPLE" "$target"
"""


@pytest.mark.usefixtures("bare")
def test_a_runfile_is_installed_once_into_the_data_directory(tmp_path: Path) -> None:
    data, counter = tmp_path / "data", tmp_path / "counter"
    runfile = tmp_path / "cuda_12.9.1_575.57.08_linux.run"
    runfile.write_text(RUNFILE.replace("FAIL", ""))
    environ = {
        "PATH": PATH,
        "HOME": "/h",
        "REAL_HOME": "/h",
        "SAMPLE": str(toolkit(tmp_path / "sample")),
        "COUNTER": str(counter),
    }
    arguments = ("auto", ">=12.8,<13", environ)
    before = choose_toolkit(*arguments, archive=str(runfile), data_dir=data)
    assert (before.origin, before.version, before.toolkit) == ("archive", None, None)
    assert not data.exists()
    found = obtain_toolkit(before, ">=12.8,<13", environ, silent, archive=str(runfile), data_dir=data)
    assert found.version == "12.9.61"
    assert found.root.is_relative_to(data)
    after = choose_toolkit(*arguments, archive=str(runfile), data_dir=data)
    assert after.toolkit is not None
    assert after.toolkit.root == found.root
    assert unpack_toolkit(runfile, data, environ, silent) == found.root
    assert counter.read_text() == "run\n"
    # Without the archive, what was unpacked earlier is found as the machine's.
    again = choose_toolkit(*arguments, data_dir=data)
    assert again.toolkit is not None
    assert (again.origin, again.toolkit.origin) == ("machine", "unpacked earlier")
    with pytest.raises(HostError, match=r"is not fit: 12\.9\.61 is not >=13"):
        choose_toolkit("auto", ">=13", environ, archive=str(runfile), data_dir=data)


def test_a_runfile_that_fails_leaves_nothing_to_trust(tmp_path: Path) -> None:
    runfile = tmp_path / "cuda.run"
    runfile.write_text(RUNFILE.replace("FAIL", 'mkdir "$target"; echo "extraction failed" >&2; exit 1'))
    environ = {"PATH": PATH, "COUNTER": str(tmp_path / "counter"), "HOME": "/a", "REAL_HOME": "/a"}
    with pytest.raises(HostError) as caught:
        unpack_toolkit(runfile, tmp_path / "data", environ, silent)
    assert "extraction failed" in caught.value.what
    assert [path.name for path in (tmp_path / "data/tools").iterdir() if not path.name.startswith(".lock")] == []


def test_redistributable_components_become_one_toolkit(tmp_path: Path) -> None:
    sample = toolkit(tmp_path / "sample", libraries="lib")
    (sample / "lib/libcudart.so").rename(sample / "lib/libcudart.so.12")
    compiler, runtime = "cuda_nvcc-linux-x86_64-12.9.86-archive", "cuda_cudart-linux-x86_64-12.9.79-archive"
    source = tmp_path / "cuda.tar.xz"
    with tarfile.open(source, "w:xz") as tar:
        for name in ("bin", "nvvm"):
            tar.add(sample / name, f"{compiler}/{name}")
        for name in ("include", "lib"):
            tar.add(sample / name, f"{runtime}/{name}")
        for component in (compiler, runtime):
            touch(tmp_path, "LICENSE")
            tar.add(tmp_path / "LICENSE", f"{component}/LICENSE")
    root = unpack_toolkit(source, tmp_path / "data", {"PATH": PATH}, silent)
    assert missing_parts(root) == ()
    assert (root / "lib64/libcudart.so").resolve() == (root / "lib/libcudart.so.12").resolve()


@pytest.mark.parametrize("missing", [True, False])
def test_an_archive_of_something_else_is_refused(tmp_path: Path, missing: bool) -> None:
    source = tmp_path / "other.tar.gz"
    if not missing:
        with tarfile.open(source, "w:gz") as tar:
            tar.add(toolkit(tmp_path / "sample") / "include", "include")
    with pytest.raises(HostError) as caught:
        unpack_toolkit(source, tmp_path / "data", {"PATH": PATH}, silent)
    assert str(caught.value).startswith(f"{source}:1:1: ")
    assert caught.value.remedy


def test_links_are_added_where_they_are_missing_and_nowhere_else(tmp_path: Path) -> None:
    root = toolkit(tmp_path / "wheels", libraries="lib")
    (root / "lib/libcudart.so").rename(root / "lib/libcudart.so.13")
    assert missing_parts(root) == ("lib64/libcudart.so", "lib64/libcudart_static.a")
    complete_links(root)
    complete_links(root)
    assert missing_parts(root) == ()
    assert (root / "lib64").readlink() == Path("lib")
    assert (root / "lib/libcudart.so").readlink() == Path("libcudart.so.13")


@pytest.mark.parametrize("indirect", [False, True])
def test_a_tensorrt_s_version_is_read_from_its_header(tmp_path: Path, indirect: bool) -> None:
    root = tensorrt(tmp_path / "trt", "10.11.0.33", indirect=indirect)
    choice = choose_tensorrt(str(root), ">=10.11,<10.12", {})
    assert choice.tensorrt is not None
    assert (choice.tensorrt.version, choice.tensorrt.library) == ("10.11.0.33", root / "lib")
    with pytest.raises(HostError, match=r"10\.11\.0\.33 is not ==10\.10\.\*"):
        choose_tensorrt(str(root), "==10.10.*", {})


def test_debian_s_packages_have_a_directory_per_machine_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    root = tensorrt(tmp_path / "usr")
    for name in ("lib", "include"):
        (root / name).rename(tmp_path / name)
        (root / name).mkdir()
        (tmp_path / name).rename(root / name / "x86_64-linux-gnu")
    found = judge_tensorrt(root, "/usr", None)
    assert not isinstance(found, str)
    assert found.library == root / "lib/x86_64-linux-gnu"


def test_a_pip_installed_tensorrt_has_no_headers_and_that_is_said(tmp_path: Path) -> None:
    touch(tmp_path, "tensorrt_libs/libnvinfer.so.10")
    with pytest.raises(HostError, match="no headers, like the tensorrt packages that pip installs"):
        choose_tensorrt(str(tmp_path / "tensorrt_libs"), None, {})


@pytest.mark.usefixtures("bare")
def test_without_tensorrt_there_is_advice_and_with_none_there_is_no_need(tmp_path: Path) -> None:
    absent = choose_tensorrt("auto", "==10.10.*", {}, cuda="12.9", data_dir=tmp_path)
    assert absent.origin == "absent"
    assert absent.advice is not None
    assert "cuda-12.9.tar.gz" in absent.advice.remedy
    with pytest.raises(HostError, match=r"no TensorRT ==10\.10\.\* is here"):
        obtain_tensorrt(absent, "==10.10.*", {}, silent, data_dir=tmp_path)
    none = choose_tensorrt("none", None, {}, data_dir=tmp_path)
    assert (none.origin, obtain_tensorrt(none, None, {}, silent, data_dir=tmp_path)) == ("none", None)


@pytest.mark.usefixtures("bare")
def test_a_tensorrt_archive_is_unpacked_once_without_static_libraries(tmp_path: Path) -> None:
    sample, source, data = tensorrt(tmp_path / "sample"), tmp_path / "TensorRT.tar.gz", tmp_path / "data"
    touch(sample, "lib/libnvinfer_static.a")
    with tarfile.open(source, "w:gz") as tar:
        tar.add(sample, "TensorRT-10.10.0.31")
    choice = choose_tensorrt("auto", "==10.10.*", {}, archive=str(source), data_dir=data)
    assert (choice.origin, choice.tensorrt) == ("archive", None)
    found = obtain_tensorrt(choice, "==10.10.*", {}, silent, archive=str(source), data_dir=data)
    assert found is not None
    assert found.version == "10.10.0.31"
    assert [path.name for path in found.library.iterdir()] == ["libnvinfer.so.10"]
    assert choose_tensorrt("auto", None, {}, archive=str(source), data_dir=data).tensorrt == found
    earlier = choose_tensorrt("auto", None, {}, data_dir=data)
    assert earlier.tensorrt is not None
    assert earlier.tensorrt.origin == "unpacked earlier"
    with pytest.raises(HostError, match="is not fit"):
        choose_tensorrt("auto", "==10.13.*", {}, archive=str(source), data_dir=data)
