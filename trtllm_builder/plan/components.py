"""Optional components that a profile leaves to us: which way of not having them costs least.

A component that is switched off needs a patch, since upstream's script expects it all the same. Where its own CMake
code compiles nothing for the GPUs asked for, leaving it on gives the same wheel without a patch; and a component that
is a single C++ file is cheaper built than patched away; so is what is only copied into the wheel.
"""

from __future__ import annotations

from trtllm_builder.errors import ProfileError, SourceError, Where
from trtllm_builder.plan.model import Setting
from trtllm_builder.plan.origins import where
from trtllm_builder.profile.model import Profile
from trtllm_builder.upstream.components import cmake_file
from trtllm_builder.upstream.model import Component, Probe

AUTO = "auto"
_OFF = frozenset({"OFF", "0", "FALSE", "NO"})


def decide(profile: Profile, probe: Probe, asked: Setting) -> tuple[Setting, bool]:
    """What ``auto`` comes to: the definition with its reason, and whether the component stays as upstream has it.

    Raises ProfileError, at the profile's line, where the option is no component's, and SourceError where the file that
    describes the component is missing or cannot be read.
    """
    component = probe.component(asked.name)
    if component is None and (path := cmake_file(asked.name)) is not None:
        raise SourceError(
            f"{asked.name}: auto is decided by {path}, and this upstream ({probe.version}) has none that can be read",
            where=Where(f"{probe.root}/{path}"),
            remedy=f"take a checkout that has it, or decide yourself: --set build.cmake.{asked.name}=OFF (or ON)",
        )
    if component is None:
        known = ", ".join(one.option for one in probe.components)
        raise ProfileError(
            f"{asked.name}: auto is for components whose CMake code says for which GPUs they are",
            where=where(profile, f"build.cmake.{asked.name}"),
            remedy=f"write ON or OFF; auto is for {known or 'none of this upstream'} ({probe.version})",
        )
    architectures = profile.cuda.architectures
    wanted = component.wanted(architectures)
    if component.staged:
        why = f"left on: {_place(component)} compiles nothing for it, and no patch is needed"
        unused = f"; no GPU of {_names(architectures)} uses it, OFF keeps it out of the wheel" if not wanted else ""
        return Setting(asked.name, "ON", f"{asked.origin}; {why}{unused}"), True
    if not wanted:
        why = f"left on: {_place(component)} compiles nothing for {_names(architectures)}, and no patch is needed"
        return Setting(asked.name, "ON", f"{asked.origin}; {why}"), True
    if component.one_file:
        why = f"left on: {_place(component)} is one C++ file, and some of the package imports it without asking"
        return Setting(asked.name, "ON", f"{asked.origin}; {why}"), True
    why = f"off: {_place(component)} would compile it for {_names(wanted)}"
    return Setting(asked.name, "OFF", f"{asked.origin}; {why}"), False


def cheaper_on(profile: Profile, probe: Probe, passed: tuple[Setting, ...]) -> list[str]:
    """A sentence for each component that the profile switches off although leaving it on gives the same wheel."""
    notes = []
    for option in passed:
        component = probe.component(option.name)
        if component is None or component.staged or not is_off(option):
            continue
        if not component.wanted(profile.cuda.architectures):
            notes.append(
                f"{option.name}={option.value} saves nothing and needs a patch: {_place(component)} compiles nothing "
                f"for {_names(profile.cuda.architectures)}; auto leaves it on"
            )
    return notes


def is_off(option: Setting) -> bool:
    """Whether CMake would take its value for false."""
    return option.value.upper() in _OFF


def _place(component: Component) -> str:
    return f"{component.file}:{component.line}" if component.line else f"upstream's {component.name}"


def _names(architectures: tuple[int, ...]) -> str:
    return ", ".join(f"sm_{number}" for number in architectures)
