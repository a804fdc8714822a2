from __future__ import annotations

from trtllm_builder.build.progress import Progress, advance


def follow(*lines: str) -> list[Progress]:
    progress, seen = Progress(), []
    for second, line in enumerate(lines):
        progress = advance(progress, line, float(second))
        seen.append(progress)
    return seen


def test_phases_of_a_ninja_build() -> None:
    seen = follow(
        "Collecting build",
        "-- The CXX compiler identification is GNU 12.2.0",
        "-- Build files have been written to: /w/build",
        "[1/20] Building CUDA object a.o",
        "[10/20] Building CUDA object b.o",
        "warning: [see] this",
        "* Building wheel...",
        "copying x",
    )
    assert [p.phase for p in seen] == [
        "requirements", "configure", "configure", "build", "build", "build", "package", "package",
    ]  # fmt: skip
    assert (seen[4].done, seen[4].total) == (10, 20)


def test_make_counts_in_per_cent_and_requirements_are_not_packaging() -> None:
    seen = follow("* Building wheel...", "[ 45%] Building CXX object a.o")
    assert seen[0].phase == "requirements"
    assert (seen[1].phase, seen[1].done, seen[1].total) == ("build", 45, 100)
