"""Four nights of three profiles through the rendered workflow files, into an index in a directory: `make nightly`.

    python tests/nightly/nights.py [DIR]

The first night builds two architectures and meets a third profile, which cannot compile. In the second and third, with
nothing new, no compiler runs and the index stays as it is, byte for byte; the third is GitLab's. The fourth brings one
commit, of which one wheel comes, and a limit that another wheel is too large for. DIR, where all of it lies, stays.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from machine import Ended
from place import PROFILES, TOKEN, Site
from upstream import VERSION

BUILD, PUBLISH = "Lock, build, verify", "Publish and report"


def say(text: str) -> None:
    print(text, flush=True)


def night(title: str, jobs: Iterable[Ended]) -> dict[str, Ended]:
    """All jobs by name, told as they end."""
    say(f"\n{title}")
    ended = {}
    for job in jobs:
        ended[job.name] = job
        say(f"  {job.result:8} {job.seconds:5.1f} s  {job.name}")
        assert TOKEN not in job.log + job.summary, f"{job.name} tells the secret"
    return ended


def first(site: Site) -> None:
    """Two wheels are built and published; the profile that cannot compile is told of everywhere but in the index."""
    jobs = night("Night 1, GitHub: all is new", site.github.run("trtllm-nightly.yml", 1))
    for profile in PROFILES:
        wanted = "failure" if profile == "toy-broken" else "success"
        assert jobs[f"{profile} / {BUILD}"].result == wanted, jobs[f"{profile} / {BUILD}"].log
        assert jobs[f"{profile} / Go on"].result == "skipped"
    broken, *good = site.history()
    assert (broken["result"], broken["exit_code"], broken["stage"]) == ("failed", 6, "compile"), broken
    assert "broken on purpose" in broken["fault"] and broken["wheel"] is None, broken
    assert [one["result"] for one in good] == ["built", "built"], good
    assert all(one["misses"] and one["drift"] for one in good), "both compiled, and upstream's drift is in the history"
    published = site.published()
    assert published == {one["wheel"]: one["sha256"] for one in good}, published
    names = [name.split("-")[1:3] for name in sorted(published)]
    assert [version for version, _ in names] == [f"{VERSION}+sd.cu130.sm{n}" for n in (80, 90)], names
    assert all(tag.startswith("202601") for _, tag in names), "the day in a name is the commit's"
    last = jobs[PUBLISH]
    assert last.result == "failure", "a night that lacks a wheel is not green"
    assert "2 of 3 profiles have a wheel" in last.summary and "failed: toy-broken" in last.summary, last.summary
    told, environ = site.notified()
    assert told["text"] == "2 of 3 profiles have a wheel; failed: toy-broken (compile-error)", told
    assert TOKEN not in environ and "exit status 3" in last.log, "who is told gets no secret, and may fail"


def nothing_new(site: Site, title: str, jobs: Iterable[Ended], build: str) -> None:
    """What there is was found in the index, by machines that never built it."""
    before, published = site.tree(), site.published()
    ended = night(title, jobs)
    broken, *good = site.history()
    assert broken["result"] == "failed", broken
    assert {one["wheel"]: one["sha256"] for one in good} == published, good
    for one in good:
        log = ended[build.format(one["profile"])].log
        assert one["result"] == "reused" and one["hits"] is None and one["misses"] is None, one
        assert "nothing was compiled" in log and "\ncompile" not in log, log
    assert site.tree() == before, "the index has changed"


def last(site: Site) -> None:
    """One commit, one wheel; and the one that is too large now is not published, the one before it stays."""
    before = site.published()
    commit = site.upstream.change_a_kernel()
    site.limit("toy-sm90", "100 KiB")
    jobs = night("Night 4, GitHub: a commit, and a limit", site.github.run("trtllm-nightly.yml", 4))
    _, small, large = site.history()
    assert (small["result"], small["commit"], small["misses"]) == ("built", commit, 1), small
    assert small["hits"] > 10, "all but one file came from the compile cache"
    assert (large["result"], large["exit_code"], large["misses"]) == ("failed", 7, 0), large
    assert "1 of 3 profiles have a wheel" in jobs[PUBLISH].summary, jobs[PUBLISH].summary
    stays = {name: sha256 for name, sha256 in before.items() if "sm90" in name}
    assert site.published() == {**stays, small["wheel"]: small["sha256"]}, "of each profile the last good one"
    assert "all as it should be" in site.command("index", "check", str(site.index))


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="nights-") as scratch:
        site = Site(Path(sys.argv[1] if len(sys.argv) > 1 else scratch).resolve(), dict(os.environ))
        first(site)
        nothing_new(
            site, "Night 2, GitHub: nothing is new", site.github.run("trtllm-nightly.yml", 2), f"{{}} / {BUILD}"
        )
        pipeline = site.gitlab.run("trtllm-nightly.gitlab-ci.yml", 3)
        nothing_new(site, "Night 3, GitLab: nothing is new", pipeline, "wheel:{}")
        last(site)
        assert not site.holding_the_token(), "the secret went nowhere but into the job that publishes"
        say(f"\n{site.command('history', '--index', str(site.index))}")


if __name__ == "__main__":
    main()
