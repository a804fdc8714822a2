"""Names that reach git, CMake, upstream's command line and the environment: what each may look like."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import WithJsonSchema

from trtllm_builder.profile.marks import shown
from trtllm_builder.profile.scalars import text_type

CANARY_URL = "builtin:canary"
_CANARY = re.compile(r"builtin:canary(?:-([1-9][0-9]{0,3}))?\Z", re.ASCII)

_REF_BAD = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?\Z")
_URL = re.compile(
    r"(?:https|ssh)://(?:[^\s/@]*@)?(?!-)[\w.:\[\]-]+/\S*\Z"  # https://host/path, ssh://user@host/path
    r"|file:///\S*\Z"
    r"|[\w.+-]+@(?!-)[\w.-]+:(?!-)[^\s:]\S*\Z"  # user@host:path, as ssh writes it
)
_SET_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*\Z", re.ASCII)
_CMAKE_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_FLAG_NAME = re.compile(r"[A-Za-z][\w-]*\Z", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_SECRET = re.compile(
    r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|PASS|CREDENTIALS?|AUTH|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY)(?:_|$)", re.I
)

# Options and flags that the builder derives from other values of the profile: where to say it instead.
_CMAKE_OWNED = {
    "CMAKE_BUILD_TYPE": "build.type",
    "CMAKE_CUDA_ARCHITECTURES": "cuda.architectures",
    "CMAKE_C_COMPILER_LAUNCHER": "build.ccache",
    "CMAKE_CXX_COMPILER_LAUNCHER": "build.ccache",
    "CMAKE_CUDA_COMPILER_LAUNCHER": "build.ccache",
    "CMAKE_PROJECT_TOP_LEVEL_INCLUDES": "",
}
_FLAGS_OWNED = {
    "build_type": "build.type",
    "generator": "build.generator",
    "cuda_architectures": "cuda.architectures",
    "job_count": "build.jobs",
    "use_ccache": "build.ccache.enabled",
    "extra_cmake_vars": "build.cmake",
    "trt_root": "tensorrt.root",
    **dict.fromkeys(
        ("build_dir", "dist_dir", "build_root", "out_of_tree", "clean", "configure_cmake", "configure_only"), ""
    ),
    **dict.fromkeys(("install", "linking_install_binary", "skip_building_wheel", "cpp_only", "python_only"), ""),
    "version_override": "",
}
_ENVIRONMENT_OWNED = frozenset({"HOME", "PATH", "PYTHONHASHSEED", "VIRTUAL_ENV", "GIT_CONFIG_GLOBAL"})
# Of ccache's own variables those that help to find out why something is no hit; any other is a value of the profile.
_CCACHE_FREE = ("CCACHE_DEBUG", "CCACHE_DEBUGDIR", "CCACHE_LOGFILE", "CCACHE_RECACHE", "CCACHE_COMPRESSLEVEL")


def parse_ref(text: str) -> str:
    """A branch, tag or commit: git's own rules (git-check-ref-format(1)), and nothing that looks like an option."""
    if text.startswith("-"):
        raise ValueError(f"expected a branch, tag or commit, not {shown(text)}, which looks like an option")
    if not text or len(text) > 200 or _REF_BAD.search(text) or text.startswith(("/", ".")) or text == "@":
        raise ValueError(f"expected a branch, tag or commit such as release/0.20, not {shown(text)}")
    if text.endswith(("/", ".")):
        raise ValueError(f"a ref cannot end with `{text[-1]}`: {shown(text)}")
    return text


def parse_commit(text: str) -> str:
    if not _COMMIT.match(text.lower()):
        raise ValueError(f"expected a whole commit id of 40 hexadecimal digits, not {shown(text)}")
    return text.lower()


def parse_url(text: str) -> str:
    """A URL that git may be given: https, ssh or file."""
    if not _URL.match(text):
        hint = "; for a directory write file:///... or use --source" if text.startswith(("/", "./", "~")) else ""
        raise ValueError(f"expected a URL with https, ssh or file, not {shown(text)}{hint}")
    return text


def parse_source_url(text: str) -> str:
    if text.startswith("builtin:") and canary_size(text) is None:
        raise ValueError(f"the only built-in sources are `{CANARY_URL}` and `{CANARY_URL}-N`, not {shown(text)}")
    return parse_url(text) if canary_size(text) is None else text


def canary_size(url: str) -> int | None:
    """How many kernel files are generated into the built-in canary: ``builtin:canary-40``; None for another URL."""
    match = _CANARY.match(url)
    return int(match[1] or 0) if match else None


def parse_set_name(text: str) -> str:
    """The name of a patch set or of a mirror set: never a path."""
    if not _SET_NAME.match(text) or ".." in text:
        raise ValueError(f"expected a name of letters, digits, `-`, `_` and `.`, not {shown(text)}")
    return text


def parse_cmake_name(text: str) -> str:
    if not _CMAKE_NAME.match(text):
        raise ValueError(f"expected a CMake option's name such as ENABLE_UCX, not {shown(text)}")
    if text in _CMAKE_OWNED:
        raise ValueError(_owned("option", text, _CMAKE_OWNED[text]))
    return text


def parse_cmake_value(text: str) -> str:
    """A value that survives upstream's splitting at ``;`` and its double-quoted shell line."""
    if ";" in text:
        raise ValueError(f"upstream splits values at `;`, so a list cannot be passed: {shown(text)}")
    bad = next((character for character in text if character in '"$`\\\n\r'), None)
    if bad:
        name = "a line break" if bad in "\r\n" else f"`{bad}`"
        raise ValueError(f"upstream's shell line would break at {name} in {shown(text)}")
    return text


def parse_flag_name(text: str) -> str:
    if text.startswith("-"):
        raise ValueError(f"expected the flag without dashes in front, not {shown(text)}")
    if not _FLAG_NAME.match(text):
        raise ValueError(f"expected the long spelling of a build_wheel.py flag such as skip-stubs, not {shown(text)}")
    owner = _FLAGS_OWNED.get(text.replace("-", "_"))
    if owner is not None:
        raise ValueError(_owned("flag", text, owner))
    return text


def parse_variable(text: str) -> str:
    if not _VARIABLE.match(text):
        raise ValueError(f"expected the name of an environment variable, not {shown(text)}")
    if text in _ENVIRONMENT_OWNED:
        raise ValueError(_owned("variable", text, ""))
    if text.startswith("CCACHE_") and text not in _CCACHE_FREE:
        raise ValueError(_owned("variable", text, "build.ccache"))
    if _SECRET.search(text):
        raise ValueError(f"{shown(text)} looks like a credential, and none may enter the build")
    return text


def _owned(what: str, name: str, instead: str) -> str:
    return f"the builder sets the {what} {shown(name)} itself" + (f"; use `{instead}`" if instead else "")


_STRING = WithJsonSchema({"type": "string"})
_TEXT = WithJsonSchema({"type": ["string", "number", "boolean"]})
Ref = Annotated[str, text_type(parse_ref, "a ref"), WithJsonSchema({"type": ["string", "number"]})]
Commit = Annotated[str, text_type(parse_commit, "a commit id"), WithJsonSchema({"type": ["string", "number"]})]
Url = Annotated[str, text_type(parse_url, "a URL"), _STRING]
SourceUrl = Annotated[str, text_type(parse_source_url, "a URL"), _STRING]
SetName = Annotated[str, text_type(parse_set_name, "a name"), _STRING]
CMakeName = Annotated[str, text_type(parse_cmake_name, "a name"), _STRING]
CMakeText = Annotated[str, text_type(parse_cmake_value, "text"), _TEXT]
FlagName = Annotated[str, text_type(parse_flag_name, "a name"), _STRING]
Variable = Annotated[str, text_type(parse_variable, "a name"), _STRING]
