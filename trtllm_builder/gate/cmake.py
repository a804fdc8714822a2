"""What the gate adds to the CMake file of a build: launchers, and a pool for links."""

from __future__ import annotations

from pathlib import Path

_SECTION = """\
# A compiler or linker starts when there is memory for it. Launchers that are set already stay as they are.
foreach(trtllm_builder_language IN ITEMS C CXX CUDA)
  foreach(trtllm_builder_kind IN ITEMS COMPILER LINKER)
    if(NOT DEFINED CMAKE_${{trtllm_builder_language}}_${{trtllm_builder_kind}}_LAUNCHER)
      set(CMAKE_${{trtllm_builder_language}}_${{trtllm_builder_kind}}_LAUNCHER "{client}")
    endif()
  endforeach()
endforeach()
# Upstream may set the whole list of pools in between, so ours is added last.
if(NOT DEFINED CMAKE_JOB_POOL_LINK)
  set(CMAKE_JOB_POOL_LINK {pool})
endif()
cmake_language(DEFER CALL set_property GLOBAL APPEND PROPERTY JOB_POOLS {pool}={links})
"""
_POOL = "trtllm_builder_link"


def section(client: Path, links: int) -> str:
    """CMake 3.24 and later. ``client`` is the gate's, ``links`` how many linkers may run at once (Ninja only).

    Manual cmake-variables(7): CMAKE_<LANG>_COMPILER_LAUNCHER, CMAKE_<LANG>_LINKER_LAUNCHER, CMAKE_JOB_POOL_LINK;
    cmake-properties(7): JOB_POOLS.
    """
    return _SECTION.format(client=_quoted(str(client)), pool=_POOL, links=links)


def _quoted(text: str) -> str:
    """For a quoted argument (cmake-language(7)) that is a list of one element."""
    for character in '\\"$;':
        text = text.replace(character, f"\\{character}")
    return text
