"""What makes compilers write the same bytes for the same source: anywhere, at any time, with or without a cache.

Measured with nvcc 13.0 and gcc 12 (tests/integration/repro):

* nvcc builds names of anonymous namespaces, and of what a file registers, from a sum over the source's real path and
  from a random number. The front ends get the path from ``--orig_src_path_name``, the last of which counts; the number
  comes from ``-frandom-seed``, which nvcc hands on to gcc. Both have to differ from file to file and not from place to
  place: they are the object's name relative to the build directory. An nvcc without the option (its ``--help`` says)
  gives it to gcc alone.
* ``__FILE__`` and debug information hold paths as the command line has them. They are mapped to what ccache makes of
  them with ``base_dir``, paths relative to the build directory, so that builds with and without the cache agree.
"""

from __future__ import annotations

MAP = "-ffile-prefix-map="

# CMake's own rule is kept, whatever its version, and completed when a language is enabled: that is when it is set.
SEEDS = f"""\
# Same source, same bytes: a seed for each file, and no path of this machine in any of them.
set(TRTLLM_BUILDER_ROOT "${{CMAKE_CURRENT_LIST_DIR}}")
macro(trtllm_builder_complete_rule variable access rule)
  if("${{access}}" STREQUAL "MODIFIED_ACCESS" AND NOT "${{rule}}" MATCHES "-frandom-seed=")
    # The last map that fits counts.
    set(trtllm_builder_maps "${{TRTLLM_BUILDER_ROOT}}/=../" "${{CMAKE_BINARY_DIR}}/=")
    if(DEFINED ENV{{CUDA_HOME}})
      list(PREPEND trtllm_builder_maps "$ENV{{CUDA_HOME}}/=cuda/")
    endif()
    if("${{variable}}" STREQUAL "CMAKE_CUDA_COMPILE_OBJECT")
      list(TRANSFORM trtllm_builder_maps PREPEND "-Xcompiler={MAP}")
      list(APPEND trtllm_builder_maps "-Xcudafe=--orig_src_path_name=<OBJECT>")
      execute_process(COMMAND "${{CMAKE_CUDA_COMPILER}}" --help OUTPUT_VARIABLE trtllm_builder_help)
      if("${{trtllm_builder_help}}" MATCHES "-frandom-seed")
        list(APPEND trtllm_builder_maps "-frandom-seed=<OBJECT>")
      else()
        list(APPEND trtllm_builder_maps "-Xcompiler=-frandom-seed=<OBJECT>")
      endif()
    else()
      list(TRANSFORM trtllm_builder_maps PREPEND "{MAP}")
      list(APPEND trtllm_builder_maps "-frandom-seed=<OBJECT>")
    endif()
    list(JOIN trtllm_builder_maps " " trtllm_builder_maps)
    set(${{variable}} "${{rule}} ${{trtllm_builder_maps}}")
  endif()
endmacro()
# Where libraries look for each other while they are built: relative to themselves, so of the same length anywhere.
if(NOT DEFINED CMAKE_BUILD_RPATH_USE_ORIGIN)
  set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
endif()
foreach(trtllm_builder_language IN ITEMS C CXX CUDA)
  variable_watch(CMAKE_${{trtllm_builder_language}}_COMPILE_OBJECT trtllm_builder_complete_rule)
endforeach()
"""
