"""Upstream's own traps, by what they print (upstream-facts: packaging, single-device code, stubs, prebuilt "
"kernels)."""

from __future__ import annotations

from trtllm_builder.build.diagnosis.model import signature

_PATCHES = "the patch set optional-modules mends it: `patches: [single-device, optional-modules]` in the profile"
SIGNATURES = (
    signature(
        "module-off-in-packaging",
        (
            "cuda_architectures.txt",
            r"No such file or directory: '\S*/(?P<subject>deep_ep|flash_mla|deep_gemm)/cuda_architectures\.txt'",
        ),
        (
            "Exactly one binding library",
            r"AssertionError: .*Exactly one binding library(?:.*\b(?P<subject>deep_gemm|flash_mla|deep_ep))?",
        ),
        ("unknown target", r"unknown target '(?P<subject>deep_ep|deep_gemm|flash_mla|nccl_extensions_wheel)'"),
        (
            "needed by",
            r"'(?P<subject>deep_ep|deep_gemm|flash_mla|nccl_extensions_wheel)', needed by .*missing and no known "
            r"rule",
        ),
        (
            "No rule to make target",
            r"No rule to make target '(?:\S*/)?(?P<subject>deep_ep|deep_gemm|flash_mla|nccl_extensions_wheel)'",
        ),
        says=(
            "Upstream's build insists on {subject}, which is switched off.",
            "Upstream's build insists on a module that is off.",
        ),
        remedy=_PATCHES,
        explains=("python-error", "no-rule"),
    ),
    signature(
        "single-device-code",
        ("ncclWindow_t", r"(?P<symbol>ncclWindow_t)"),
        ("undefined reference to `MPI_", r"undefined reference to `(?P<symbol>MPI_\w+)'"),
        ("undefined reference to `ompi_", r"undefined reference to `(?P<symbol>ompi_\w+)'"),
        ("undefined reference to `nccl", r"undefined reference to `(?P<symbol>nccl\w+)'"),
        says="The code uses {symbol}, which a single-device build (ENABLE_MULTI_DEVICE=0) does not have.",
        remedy="0.18 and older carry prebuilt archives with MPI inside and cannot; for 1.0 and the first "
        "1.1 candidates take "
        "a later commit of the release; `trtllm-build releases` says what is known",
        explains=("compile-error", "link-error", "undefined-reference"),
    ),
    signature(
        "stubs-of-another-python",
        ("No module named 'bindings'", r"No module named '(?P<subject>bindings)'"),
        says="The stub step cannot import the new bindings: they were built for another Python than the one "
        "that runs it.",
        remedy="begin with a clean build directory (--rebuild); in a build of your own, one Python for "
        "CMake and for the script",
        explains=("python-error",),
    ),
    signature(
        "flag-unknown",
        ("unrecognized arguments", r"build_wheel\.py: error: unrecognized arguments: (?P<subject>.+)"),
        says="This upstream's build_wheel.py does not know {subject}.",
        remedy="flags come and go with releases: `trtllm-build probe` lists those of a checkout",
    ),
    signature(
        "lfs-pointer",
        ("git-lfs.github.com/spec", r"version https://git-lfs\.github\.com/spec/v1"),
        ("oid sha256", r"(?P<file>\S+?):\d+: syntax error.*oid sha256"),
        ("truncated or incomplete", r"(?:(?P<file>[\w./-]+\.tar\.\w+)\s+is\s+)?truncated or incomplete"),
        (
            "treating as linker script",
            r"(?:ld: ?)?(?P<file>[^\s:]+): file format not recognized; treating as linker script",
        ),
        says=(
            "{file} is a Git LFS pointer of a hundred bytes where its content should be.",
            "A Git LFS pointer of a hundred bytes stands where a file's content should be.",
        ),
        remedy="fetch the content: source.lfs: true in the profile, or `git lfs pull` in a checkout of your "
        "own (a downloaded "
        "source archive holds pointers only)",
        explains=(
            "not-an-archive",
            "link-error",
            "undefined-reference",
            "cmake-error",
            "archive-damaged",
            "compile-error",
        ),
    ),
    signature(
        "lfs-missing",
        ("is not a git command", r"'lfs' is not a git command"),
        ("git-lfs", r"git-lfs(?: filter-process)?: (?:\d+: )?(?:git-lfs: )?(?:command )?not found"),
        says="Git LFS is not installed, and upstream's prebuilt kernels come through it.",
        remedy="apt-get install git-lfs, or let trtllm-build fetch the source: it needs no git-lfs",
        explains=("lfs-pointer", "program-missing"),
    ),
    signature(
        "lfs-quota",
        ("data quota", r"repository (?P<subject>\S+)?.*over its data quota|exceeded its LFS budget"),
        ("smudge filter lfs failed", r"(?P<file>\S+): smudge filter lfs failed"),
        says=(
            "The content of {file} could not be had from the Git LFS server.",
            "The Git LFS server refuses: a quota is used up.",
        ),
        remedy="name a mirror set in source.mirrors of the profile, or try again later",
        explains=("lfs-pointer", "not-an-archive"),
    ),
    signature(
        "not-an-archive",
        (
            "file format not recognized",
            r"(?P<subject>[^\s:]+): (?:file not recognized: )?[Ff]ile format not recognized",
        ),
        ("file format not recognized", r"(?P<subject>[^\s:]+): file not recognized"),
        ("invalid ELF header", r"(?P<subject>[^\s:]+): invalid ELF header"),
        ("File truncated", r"(?P<subject>[^\s:]+): (?:file not recognized: )?[Ff]ile truncated"),
        ("file too short", r"(?P<subject>[^\s:]+): file too short"),
        ("file truncated", r"(?P<subject>[^\s:]+): (?:file not recognized: )?[Ff]ile truncated"),
        says="{subject} is not what its name says: cut short, for another kind of machine, or a Git LFS pointer.",
        remedy="look at its size: about a hundred bytes means a Git LFS pointer (source.lfs: true, or `git "
        "lfs pull`); else "
        "delete it, so that it is made or fetched again, and give the same command",
        explains=("link-error", "undefined-reference"),
    ),
    signature(
        "other-machine",
        ("file in wrong format", r"(?P<subject>[^\s:]+): error adding symbols: file in wrong format"),
        ("is incompatible with", r"skipping incompatible (?P<subject>\S+)|(?P<what>\S+) is incompatible with"),
        says=("{subject} is made for another kind of processor.", "A library is made for another kind of processor."),
        remedy="the prebuilt libraries of this checkout do not fit this machine (x86_64 or aarch64): fetch "
        "the source anew on "
        "this machine, with source.lfs: true",
        explains=("link-error", "undefined-reference", "library-missing"),
    ),
    signature(
        "prebuilt-missing",
        ("does not exist", r"CMake Error: File (?P<subject>\S+\.(?:a|so|tar\.xz)) does not exist"),
        ("that is not readable", r"requested of path that is not readable:?\s+(?P<subject>\S+)"),
        says="{subject}, which upstream brings prebuilt, is not in the checkout.",
        remedy="fetch the source anew with source.lfs: true; a copy of a checkout must hold its Git LFS files too",
        explains=("cmake-error",),
    ),
    signature(
        "archive-damaged",
        ("File format not recognized", r"xz: .*File format not recognized"),
        ("does not look like a tar archive", r"This does not look like a tar archive"),
        ("not in gzip format", r"not in gzip format"),
        ("Unexpected end of", r"(?:gzip|xz|tar|bzip2): .*[Uu]nexpected end of (?:file|input)"),
        ("unexpected end of file", r"unexpected end of file"),
        (
            "Unrecognized archive format",
            r"(?:Problem with archive_read_open_file|cmake -E tar: error).*|Unrecognized archive format",
        ),
        says="An archive cannot be unpacked: it was cut short, or is not an archive at all.",
        remedy="a download that a proxy answered, or a Git LFS pointer: delete the file, see source.mirrors "
        "and source.lfs in "
        "the profile, and give the same command again",
    ),
)
