"""The build's programs, the compile cache, the network and namesakes, judged."""

from __future__ import annotations

from trtllm_builder.doctor.facts import Command, CompileCache, Program, Reach
from trtllm_builder.doctor.finding import Finding, fail, ok, skipped, warn
from trtllm_builder.host.interpreters import Interpreter
from trtllm_builder.host.system import System, python_remedy


def prerequisite_findings(system: System) -> list[Finding]:
    """git, make and g++: what a build must find."""
    found = []
    for one in system.prerequisites:
        if one.found is None:
            found.append(fail(one.name, f"{one.name} is missing: it is needed for {one.needed_for}", one.remedy))
        elif one.version is None:
            found.append(fail(one.name, f"{one.found} does not tell its version: it is broken or hangs", one.remedy))
        else:
            found.append(ok(one.name, f"{one.name} {one.version} at {one.found}"))
    return found


def interpreter_findings(interpreter: Interpreter | None, series: str) -> list[Finding]:
    """python: what the build's venv is made from."""
    found = []
    if interpreter is None and series != "host":
        found.append(fail("python", f"no Python {series} runs here", python_remedy(series)))
    elif interpreter is not None and not interpreter.fit:
        lacks = "venv" if not interpreter.has_venv else "headers (Python.h)"
        found.append(
            fail(
                "python", f"{interpreter.path} ({interpreter.version}) lacks {lacks}", python_remedy(interpreter.series)
            )
        )
    elif interpreter is not None:
        found.append(ok("python", f"Python {interpreter.version} at {interpreter.path}, with venv and headers"))
    return found


def program_findings(programs: tuple[Program, ...]) -> list[Finding]:
    """One for each tool that we can bring, and git-lfs, which we do without."""
    found = []
    for one in programs:
        if one.name == "git-lfs":
            told = f"git-lfs {one.version}" if one.version else "no git-lfs, which we do without"
            found.append(ok("git-lfs", told))
        elif one.version is None:
            found.append(fail(one.name, one.reason, f"put a fit {one.name} on PATH"))
        else:
            found.append(ok(one.name, f"{one.name} {one.version}: {one.reason}"))
    return found


def cache_finding(cache: CompileCache) -> Finding:
    """ccache-works: whether it cached a call of nvcc."""
    if cache.cached is None:
        return skipped("ccache-works", f"not tried: {cache.why}")
    if not cache.cached:
        return warn(
            "ccache-works",
            f"ccache does not cache nvcc here: {cache.why}",
            "builds work and are not faster the second time; set build.ccache.enabled: false, or update ccache",
        )
    return ok(
        "ccache-works", f"ccache caches nvcc: {cache.first or 0:.2f} s, and {cache.second or 0:.2f} s the second time"
    )


def network_findings(network: tuple[Reach, ...]) -> list[Finding]:
    """network: the source, the index and, where they were asked, the mirrors."""
    found = []
    mirrors = [one for one in network if one.what == "mirror" and one.seconds is not None]
    silent = ", ".join(one.host for one in network if one.what == "mirror" and one.seconds is None)
    nor = f"; nor can {silent}, which stand in for it" if silent and not mirrors else ""
    for one in network:
        told = f"{one.host} ({one.what})"
        if one.seconds is not None:
            found.append(ok("network", f"{told} takes connections, in {one.seconds:.2f} s"))
        elif one.what == "source" and mirrors:
            remedy = f"use the mirrors: --set source.mirrors=china, or a profile with them ({mirrors[0].host} answers)"
            found.append(warn("network", f"{told} cannot be reached: {one.why}", remedy))
        elif one.what != "mirror":
            remedy = "set https_proxy or a mirror set (source.mirrors), or build from a directory with --source"
            found.append(warn("network", f"{told} cannot be reached: {one.why}{nor}", remedy))
    return found


def command_findings(commands: tuple[Command, ...]) -> list[Finding]:
    """command: which trtllm-build a shell finds."""
    if not commands:
        return []
    first, others = commands[0], [one for one in commands[1:] if one.whose != "ours"]
    if first.whose != "ours":
        whose = "TensorRT-LLM's engine compiler" if first.whose == "TensorRT-LLM" else "not ours"
        remedy = "call ours as trtllm-builder, which nothing else is called, or put its directory first on PATH"
        return [warn("command", f"`trtllm-build` in this shell is {first.path}, {whose}", remedy)]
    if others:
        told = f"`trtllm-build` is ours ({first.path}) and hides {', '.join(one.path for one in others)}"
        return [warn("command", told, "TensorRT-LLM's own has to be called by its path; ours is trtllm-builder too")]
    return [ok("command", f"`trtllm-build` is ours: {first.path}")]
