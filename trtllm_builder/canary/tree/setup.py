from pathlib import Path

from setuptools import find_packages, setup
from setuptools.dist import Distribution

HERE = Path(__file__).resolve().parent


def parse_requirements(filename):
    lines = (HERE / filename).read_text().splitlines()
    return [line for line in lines if line.strip() and not line.startswith(("#", "-"))]


def sanity_check():
    # The directory is made by the stub step of scripts/build_wheel.py.
    if not (HERE / "tensorrt_llm/bindings").exists():
        raise ImportError("The `bindings` module does not exist: run scripts/build_wheel.py first.")


def get_version():
    for line in (HERE / "tensorrt_llm/version.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise RuntimeError("tensorrt_llm/version.py sets no __version__")


class BinaryDistribution(Distribution):
    """A wheel for one platform, although setuptools compiles nothing."""

    def has_ext_modules(self):
        return True


sanity_check()
setup(
    name="tensorrt_llm",
    version=get_version(),
    description="The canary: trtllm-builder's small stand-in for TensorRT-LLM. It is not TensorRT-LLM.",
    packages=find_packages(include=["tensorrt_llm", "tensorrt_llm.*"]),
    classifiers=["Private :: Do Not Upload", "Programming Language :: Python :: 3"],
    distclass=BinaryDistribution,
    package_data={
        "tensorrt_llm": [
            "libs/libtensorrt_llm.so", "libs/libth_common.so", "libs/libpg_utils.so", "bindings.*.so",
            "deep_ep_cpp_tllm.*.so", "deep_gemm_cpp_tllm.*.so", "flash_mla_cpp_tllm.*.so", "include/**/*",
            "bindings/*.pyi", "*_cpp_tllm.pyi",
        ],
    },
    entry_points={"console_scripts": ["trtllm-build=tensorrt_llm.commands.build:main"]},
    zip_safe=False,
    install_requires=parse_requirements("requirements.txt"),
    extras_require={"devel": parse_requirements("requirements-dev.txt")},
    python_requires=">=3.10, <4",
)
