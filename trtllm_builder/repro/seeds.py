"""What makes compilers write the same bytes for the same source: anywhere, at any time, with or without a cache.

Measured with nvcc 13.0 and gcc 12: names in anonymous namespaces, and nvcc's module names, hold a random number or a
sum over the source's path. ``-frandom-seed`` (gcc and nvcc; nvcc passes it on) replaces both; it has to differ from
file to file and not from place to place, so it is the object's name relative to the build directory. ``__FILE__``
holds the source's path as the command line has it; it is mapped to what ccache makes of it, a path relative to the
build directory, so that a build without the cache agrees with one that has it.
"""

from __future__ import annotations

# CMake's own rule is kept, whatever its version, and completed when a language is enabled: that is when it is set.
SEEDS = """\
# Same source, same bytes: a seed for each file, and no path of this workspace in any of them.
set(TRTLLM_BUILDER_ROOT "${CMAKE_CURRENT_LIST_DIR}")
macro(trtllm_builder_complete_rule variable access rule)
  if("${access}" STREQUAL "MODIFIED_ACCESS" AND NOT "${rule}" MATCHES "-frandom-seed=")
    if("${variable}" STREQUAL "CMAKE_CUDA_COMPILE_OBJECT")
      set(${variable} "${rule} -frandom-seed=<OBJECT> -Xcompiler=-ffile-prefix-map=${TRTLLM_BUILDER_ROOT}/=../")
    else()
      set(${variable} "${rule} -frandom-seed=<OBJECT> -ffile-prefix-map=${TRTLLM_BUILDER_ROOT}/=../")
    endif()
  endif()
endmacro()
foreach(trtllm_builder_language IN ITEMS C CXX CUDA)
  variable_watch(CMAKE_${trtllm_builder_language}_COMPILE_OBJECT trtllm_builder_complete_rule)
endforeach()
"""
