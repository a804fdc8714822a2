"""GPU and driver, judged: what runs here, and what the container was not given."""

from __future__ import annotations

from trtllm_builder.doctor.facts import CudaToolkit, Graphics
from trtllm_builder.doctor.finding import Finding, fail, ok, warn
from trtllm_builder.host.gpu import Gpu, driver_cuda, driver_majors
from trtllm_builder.units import format_size

GIVE_GPU = (
    "start the container with a GPU: docker run --gpus all (or the provider's GPU option); the host needs the NVIDIA "
    "driver and its container toolkit"
)


def graphics_findings(graphics: Graphics) -> list[Finding]:
    """gpu, driver and nvml. No GPU is a warning: a build needs none."""
    cuda = graphics.cuda
    if not cuda.library and not graphics.nodes and not graphics.gpus:
        image = " though its image is made for one" if graphics.asked_for else ""
        return [
            warn(
                "gpu",
                f"no GPU was given to this container or machine{image}: libcuda.so.1 and libnvidia-ml.so.1 are "
                "missing, and TensorRT-LLM fails at import (NVML Shared Library Not Found). A build needs no GPU",
                GIVE_GPU,
            )
        ]
    if not cuda.library:
        return [
            fail(
                "driver",
                f"there is a GPU ({', '.join(graphics.nodes) or graphics.gpus[0].name}), but not the driver's "
                "libcuda.so.1",
                "start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility (or all)",
            )
        ]
    found = [_gpus(graphics), *_driver(graphics)]
    if not cuda.nvml:
        found.append(
            warn(
                "nvml",
                "the driver's libnvidia-ml.so.1 is missing: TensorRT-LLM asks it at import",
                "start the container with NVIDIA_DRIVER_CAPABILITIES=compute,utility (or all)",
            )
        )
    else:
        found.append(ok("nvml", "libnvidia-ml.so.1 is here"))
    return found


def devices(graphics: Graphics) -> tuple[Gpu, ...]:
    """What a program finds, else what nvidia-smi lists."""
    return graphics.cuda.devices or graphics.gpus


def cuda_of(graphics: Graphics) -> str | None:
    """The newest CUDA release that the driver knows; None when that is not known."""
    if graphics.cuda.cuda and not graphics.cuda.stub:
        return graphics.cuda.cuda
    return driver_cuda(graphics.driver.version) if graphics.driver else None


def _gpus(graphics: Graphics) -> Finding:
    if graphics.cuda.stub:
        return warn("gpu", "the libcuda.so.1 that is found is a toolkit's stub", "take it out of LD_LIBRARY_PATH")
    if graphics.cuda.error and graphics.visible is not None:
        told = f"CUDA_VISIBLE_DEVICES is {graphics.visible!r} in this shell, and no GPU is left: {graphics.cuda.error}"
        return warn("gpu", told, "unset CUDA_VISIBLE_DEVICES")
    if graphics.cuda.error:
        return fail(
            "gpu",
            f"the driver is here and does not work: {graphics.cuda.error}",
            "run nvidia-smi: a sick GPU or a driver changed under a running container needs the provider, or a restart",
        )
    told = ", ".join(
        f"{gpu.name} (compute capability {gpu.compute or '?'}"
        + (f", {format_size(gpu.memory)}" if gpu.memory else "")
        + ")"
        for gpu in devices(graphics)
    )
    return ok("gpu", told)


def _driver(graphics: Graphics) -> list[Finding]:
    cuda = cuda_of(graphics)
    version = graphics.driver.version if graphics.driver else "of unknown version"
    if cuda is None:
        return [warn("driver", f"driver {version}: we do not know what CUDA it runs", "look it up in nvidia-smi")]
    majors = driver_majors(cuda)
    # Minor-version compatibility is about machine code; PTX is translated by the driver, which must know its version.
    told = (
        f"driver {version}: it runs machine code built with any CUDA {' or '.join(f'{one}.x' for one in majors)}, and "
        f"translates PTX of CUDA {cuda} or older. What the image has installed does not decide this"
    )
    return [ok("driver", told)]


def toolkit_findings(toolkits: tuple[CudaToolkit, ...], graphics: Graphics | None) -> list[Finding]:
    """toolkit: each that is here, held against the driver."""
    fit = [one for one in toolkits if one.version]
    cuda = cuda_of(graphics) if graphics else None
    found = []
    for one in fit:
        version = one.version or ""
        told = f"CUDA {version} at {one.root}"
        if cuda is None:
            found.append(ok("toolkit", told))
        elif _numbers(version)[0] > _numbers(cuda)[0]:
            found.append(
                warn(
                    "toolkit",
                    f"{told}: what it builds does not run with this machine's driver, which ends at CUDA {cuda}",
                    f"fine for building for elsewhere; for here name a CUDA {_numbers(cuda)[0]}.x in cuda.root",
                )
            )
        elif _numbers(version) > _numbers(cuda):
            found.append(
                ok(
                    "toolkit",
                    f"{told}, newer than the driver's CUDA {cuda}: its machine code runs here, its PTX does not "
                    "(build for the GPU's own architecture, as plain digits in cuda.architectures do)",
                )
            )
        else:
            found.append(ok("toolkit", told))
    for one in toolkits:
        if not one.version:
            found.append(warn("toolkit", f"{one.root} cannot be used: {one.unfit}", "or name another in cuda.root"))
    return found or [ok("toolkit", "no CUDA toolkit: a profile may bring CUDA 13 (cuda.wheels) or be handed one")]


def _numbers(version: str) -> tuple[int, int]:
    major, _, rest = version.partition(".")
    return int(major), int(rest.partition(".")[0] or 0)
