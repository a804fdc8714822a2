"""The CMake file of ours that upstream's build includes before anything else, and how it gets to know of it.

``CMAKE_PROJECT_TOP_LEVEL_INCLUDES`` (cmake.org, since 3.24) names files that the first ``project()`` call includes
before any language is enabled; nothing of upstream's own files has to change for it.
"""

from __future__ import annotations

from collections.abc import Sequence

VARIABLE = "CMAKE_PROJECT_TOP_LEVEL_INCLUDES"
CMAKE_FILE = "trtllm-builder.cmake"
"""Its name, in the workspace."""


def render(sections: Sequence[str]) -> str:
    """The file's text. Each section is CMake code that stands by itself."""
    head = "# Made by trtllm-builder; it is written again at every build.\ninclude_guard(GLOBAL)\n"
    return head + "".join(f"\n{section.strip()}\n" for section in sections)
