"""Whether a wheel will import and serve on a machine."""

from __future__ import annotations

import re

from trtllm_builder.doctor.facts import Facts, Graphics
from trtllm_builder.doctor.finding import Finding, fail, ok, warn
from trtllm_builder.doctor.graphics import GIVE_GPU, cuda_of, devices
from trtllm_builder.doctor.mpi import manager, stop_gap
from trtllm_builder.doctor.wheels import GpuCode, WheelFacts
from trtllm_builder.host.gpu import driver_runs
from trtllm_builder.host.system import python_remedy
from trtllm_builder.verify.capability import number, runs_on

# Upstream's kernels are here; what the other libraries hold is extra.
_MAIN = re.compile(r"(?:^|/)libtensorrt_llm\.so$")


def wheel_findings(wheel: WheelFacts, facts: Facts, cure: str) -> list[Finding]:
    """wheel-python, wheel-machine, wheel-glibc, wheel-gpu, wheel-driver, wheel-code, wheel-libraries and wheel-mpi.

    ``cure`` is the command that builds a wheel for this machine.
    """
    found = [_python(wheel)]
    if facts.system is not None:
        found += _system(wheel, facts.system.machine, facts.system.glibc)
    else:
        found.append(warn("wheel-machine", f"not known: {facts.unknown('system')}", ""))
    if facts.graphics is not None:
        found += _graphics(wheel, facts.graphics, cure)
    elif wheel.driver or wheel.code:
        found.append(warn("wheel-gpu", f"not known: {facts.unknown('graphics')}", ""))
    if wheel.missing:
        found.append(
            fail(
                "wheel-libraries",
                f"nothing brings {', '.join(wheel.missing)}: the import ends with `cannot open shared object file`",
                "install the packages that carry them",
            )
        )
    elif wheel.optional:
        found.append(
            warn(
                "wheel-libraries",
                f"nothing brings {', '.join(wheel.optional)}, which only libraries need that its import does not load "
                "(backends for other hardware, perhaps)",
                "install the packages that carry them if you want those parts",
            )
        )
    else:
        apart = ", apart from MPI," if wheel.mpi else ""
        told = f"every library that it needs{apart} comes with it, its requirements or this system"
        found.append(ok("wheel-libraries", told))
    found.append(_mpi(wheel, facts, cure))
    return found


def _python(wheel: WheelFacts) -> Finding:
    wanted = " or ".join(wheel.pythons) or "3"
    if wheel.python is None:
        series = wheel.pythons[0] if wheel.pythons else "3.12"
        return fail("wheel-python", f"it is for Python {wanted}, and none runs here", python_remedy(series))
    return ok("wheel-python", f"it is for Python {wanted}: {wheel.python}")


def _system(wheel: WheelFacts, machine: str, glibc: str | None) -> list[Finding]:
    found = []
    if wheel.machines and machine not in wheel.machines:
        told = f"it is for {', '.join(wheel.machines)}, this is {machine}"
        found.append(fail("wheel-machine", told, "take a wheel for this kind of machine"))
    if wheel.glibc and glibc:
        have, want = (tuple(map(int, text.split("."))) for text in (glibc, wheel.glibc))
        if have < want:
            told = f"it needs glibc {wheel.glibc}, here is {glibc}: version `GLIBC_{wheel.glibc}' not found"
            found.append(fail("wheel-glibc", told, "use a newer image, or build the wheel in one as old as this"))
        else:
            found.append(ok("wheel-glibc", f"it needs glibc {wheel.glibc}, here is {glibc}"))
    return found


def _graphics(wheel: WheelFacts, graphics: Graphics, cure: str) -> list[Finding]:
    if not graphics.cuda.library and not graphics.gpus:
        if wheel.driver:
            what = f"its import needs the driver's {' and '.join(wheel.driver)}, missing here: no GPU was given"
            return [fail("wheel-gpu", what, GIVE_GPU)]
        if wheel.code:
            return [warn("wheel-gpu", "it imports; it cannot launch its kernels here: no GPU was given", GIVE_GPU)]
        return [ok("wheel-gpu", "it has no GPU code and asks for no driver")]
    cuda = cuda_of(graphics)
    version = graphics.driver.version if graphics.driver else None
    found = [_driver(wheel.cuda, cuda, version, cure)] if wheel.cuda and cuda else []
    for gpu in dict.fromkeys(gpu.compute for gpu in devices(graphics) if gpu.compute):
        found.append(_code(wheel, int(gpu.replace(".", "")), cuda, cure))
    return found


def _driver(major: int, cuda: str, version: str | None, cure: str) -> Finding:
    driver = f"driver {version}" if version else "the driver"
    if int(cuda.partition(".")[0]) >= major or (version and driver_runs(version, f"{major}.0")):
        return ok("wheel-driver", f"it is built with CUDA {major}, which {driver} runs")
    return fail(
        "wheel-driver",
        f"it is built with CUDA {major}, and {driver} ends at CUDA {cuda}: its libraries "
        f"(libcublasLt.so.{major}) are not here, and would not run",
        f"the driver is the host's; take a wheel for CUDA {cuda.partition('.')[0]}.x: {cure}",
    )


def _code(wheel: WheelFacts, gpu: int, cuda: str | None, cure: str) -> Finding:
    main = [code for code in wheel.code if _MAIN.search(code.library)] or list(wheel.code)
    if not main:
        return ok("wheel-code", "it holds no GPU code of its own")
    name = f"this GPU (sm_{gpu})"
    lacking = [code for code in main if not any(runs_on(target, gpu) for target in code.machine_code)]
    if not lacking:
        fitting = sorted({target for code in main for target in code.machine_code if runs_on(target, gpu)}, key=number)
        return ok("wheel-code", f"it has machine code for {name}: {', '.join(fitting)}")
    translated = all(any(number(ptx) <= gpu and ptx[-1].isdigit() for ptx in code.ptx) for code in lacking)
    if translated:
        return warn(
            "wheel-code",
            f"it has no machine code for {name}, only PTX, which the driver translates at first use if its CUDA "
            f"({cuda or 'unknown'}) is not older than the compiler's: minor-version compatibility does not help PTX",
            f"prefer a wheel with machine code for it: {cure}",
        )
    return fail(
        "wheel-code",
        f"it has no code for {name}, but for {_held(lacking)}: no kernel image is available",
        f"take a wheel for this GPU: {cure}",
    )


def _held(code: list[GpuCode]) -> str:
    return ", ".join(sorted({target for one in code for target in (*one.machine_code, *one.ptx)}, key=number)) or "none"


def _mpi(wheel: WheelFacts, facts: Facts, cure: str) -> Finding:
    if not wheel.mpi:
        return ok("wheel-mpi", "it links and requires no MPI")
    mpi, what = facts.mpi, f"it is a multi-device wheel ({', '.join(wheel.mpi)})"
    if mpi is None:
        return warn("wheel-mpi", f"{what}, and MPI here did not answer in time", f"take a single-device wheel: {cure}")
    if mpi.launched_by:
        return ok("wheel-mpi", f"{what}, and an MPI launcher started this ({mpi.launched_by})")
    if mpi.initialised is not None:
        return ok("wheel-mpi", f"{what}, and MPI starts here, in {mpi.initialised:.1f} s")
    linked = next((name for name in wheel.mpi if name.startswith("libmpi")), None)
    if linked and not mpi.libraries and mpi.mpirun is None:
        return fail("wheel-mpi", f"{what}, and there is no MPI here: {linked} cannot be opened", cure)
    hangs = f"{what}, and MPI does not start here ({mpi.init_why or manager(mpi)}): it hangs at import or at first use"
    root = facts.privileges is not None and facts.privileges.user == 0
    command = stop_gap(mpi, root=root)
    if command:
        return fail(
            "wheel-mpi",
            hangs,
            f"as a stop-gap start your program with: {command} (`mpirun -n 1 true` came back in {mpi.ran:.1f} s; what "
            f"starts workers may still hang). What cures it is a single-device wheel: {cure}",
        )
    tried = f"mpirun is no way out here: {mpi.why}" if mpi.mpirun and mpi.why else "there is no mpirun to help"
    return fail("wheel-mpi", hangs, f"{tried}. Take a single-device wheel: {cure}")
