"""CPU, memory, shared memory, disks, system and privileges, judged."""

from __future__ import annotations

from trtllm_builder.doctor.facts import Machine, Place, Privileges
from trtllm_builder.doctor.finding import Finding, fail, ok, warn
from trtllm_builder.host.system import System
from trtllm_builder.units import format_size

# Field reports: one compiler job peaks at about 6 GB, a build takes about 63 GB.
_JOB, _BUILD = 6 * 2**30, 63 * 10**9
_SMALL_SHM = 64 * 2**20
_NEARLY_FULL = 0.95  # GPUGeek may not start a container again whose system disk is fuller
_SYS_ADMIN = 1 << 21  # CAP_SYS_ADMIN, capabilities(7)
# Upstream's wheels since 0.13 are made for manylinux_2_28 or newer.
_GLIBC = (2, 28)


def machine_findings(machine: Machine) -> list[Finding]:
    """cpu, memory, oom-group, shm and disks."""
    return [_cpu(machine), _memory(machine), *_oom_group(machine), _shm(machine), *_disks(machine)]


def _cpu(machine: Machine) -> Finding:
    cpu = machine.cpu
    if cpu.quota is not None and cpu.quota < machine.cores:
        return ok(
            "cpu",
            f"{cpu.usable} core{'s' * (cpu.usable > 1)} by quota ({cpu.quota:g} in {cpu.quota_source}), "
            f"not the {machine.cores} that the machine shows",
        )
    return ok("cpu", f"{cpu.usable} core{'s' * (cpu.usable > 1)}")


def _memory(machine: Machine) -> Finding:
    memory = machine.memory
    told = f"{format_size(memory.allowed)} may be taken now ({memory.allowed_source})"
    others = [limit for limit in memory.limits if not memory.allowed_source.startswith(limit.source)]
    if others:
        told += "; further limits: " + ", ".join(f"{limit.source} {format_size(limit.limit)}" for limit in others)
    if memory.allowed < _JOB:
        return warn(
            "memory",
            told,
            "one compiler can take 6 GiB: build.jobs: auto runs it alone then and tries it again when it is killed, "
            "but cannot make it fit; heavy kernels need a larger machine or limit, or fewer architectures",
        )
    return ok("memory", told)


def _oom_group(machine: Machine) -> list[Finding]:
    return [
        warn(
            "oom-group",
            f"memory.oom.group is set in {group}: when one compiler has no memory left, the kernel ends everything "
            "there, the builder too; a build therefore lets in no compiler on the chance that peaks do not meet",
            "leave more room (build.reserve, build.jobs in the profile), and build with --detach",
        )
        for group in machine.oom_groups
    ]


def _shm(machine: Machine) -> Finding:
    shm = machine.shm
    if shm is None or not shm.writable:
        return fail(
            "shm",
            "there is no /dev/shm" if shm is None else "/dev/shm cannot be written to",  # noqa: S108
            "start the container with one (docker run --shm-size 64m): Python's workers keep their locks there",
        )
    size = f"/dev/shm of {format_size(shm.total)}, {format_size(shm.free)} free"  # noqa: S108
    if shm.total <= _SMALL_SHM:
        return ok("shm", f"{size}: enough for a single-device wheel, too little for MPI and NCCL between GPUs")
    return ok("shm", size)


def _disks(machine: Machine) -> list[Finding]:
    found = [_disk(place) for place in machine.places]
    writable = [place for place in machine.places if place.disk.writable]
    roomiest = max(writable, key=lambda place: place.disk.free, default=None)
    if roomiest is None:
        return [*found, fail("room", "no directory here can be written to", "give one of yours with --workspace")]
    if roomiest.disk.free < _BUILD:
        found.append(
            warn(
                "room",
                f"the roomiest disk, {roomiest.directory}, has {format_size(roomiest.disk.free)} free; a whole build "
                f"takes about {format_size(_BUILD)} (field report)",
                "enlarge the data disk, or build for one architecture (`plan` gives the figure of a profile)",
            )
        )
    return found


def _disk(place: Place) -> Finding:
    disk = place.disk
    told = f"{place.directory} ({place.role}): {format_size(disk.free)} free of {format_size(disk.total)}"
    if not disk.writable:
        return warn("disk", f"{told}, and it cannot be written to", "give another directory with --workspace")
    if disk.total and place.role == "system" and 1 - disk.free / disk.total > _NEARLY_FULL:
        return warn("disk", f"{told}: nearly full", "some providers do not start such a container again: free some")
    if disk.free_inodes is not None and disk.free_inodes < 100_000:
        return warn("disk", f"{told}, with {disk.free_inodes} inodes left", "a checkout alone has tens of thousands")
    return ok("disk", told)


def system_findings(system: System, kernel: str) -> list[Finding]:
    """system and glibc."""
    found = [ok("system", f"{system.os_name}, Linux {kernel}, {system.machine}")]
    if system.machine not in ("x86_64", "aarch64"):
        found[0] = fail("system", found[0].what, "TensorRT-LLM is for x86_64 and aarch64")
    numbers = tuple(int(part) for part in (system.glibc or "").split(".") if part.isdigit())
    if not numbers:
        found.append(fail("glibc", "there is no glibc (musl?)", "use an image of a distribution with glibc"))
    elif numbers < _GLIBC:
        found.append(
            warn("glibc", f"glibc {system.glibc} is older than 2.28", "upstream's wheels do not load: build here")
        )
    else:
        found.append(ok("glibc", f"glibc {system.glibc}"))
    return found


def privilege_findings(privileges: Privileges, system: System | None, provider: str | None) -> list[Finding]:
    """container, and whether the smoke test can shut a wheel in."""
    kind = system.container if system else None
    where = f"{provider}'s container" if provider else f"a container ({kind})" if kind else "no container that we know"
    if kind == "wsl2":
        where = "WSL2"
    if system is None and provider is None:
        where = "whether this is a container is not known"
    root = "root" if privileges.user == 0 else f"user {privileges.user}"
    if privileges.capabilities & _SYS_ADMIN:
        told = f"{where}, {root} with privileges"
    else:
        told = f"{where}, {root} without privileges: no docker and no mounts in here, which nothing of ours needs"
    known = system is not None or provider is not None
    found = [ok("container", told) if known else warn("container", told, "")]
    if privileges.namespaces:
        found.append(
            ok(
                "restricted-mode",
                f"the smoke test cannot shut a wheel in here ({privileges.namespaces}); it says what held",
            )
        )
    else:
        found.append(ok("restricted-mode", "the smoke test can give a wheel a rented container's limits"))
    return found
