"""Files over each other, names on the search path, --set, and where each value came from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trtllm_builder.errors import ProfileError
from trtllm_builder.profile.load import LoadedProfile, Shadow, check_file, list_profiles, load_profile, search_path

WHOLE = """\
schema: 1
python: 3.10
source: {ref: release/0.20}
cuda: {architectures: [89], toolkit: ">=12.9,<13"}
"""


def write(directory: Path, **files: str) -> list[Path]:
    for name, text in files.items():
        path = directory / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [directory]


def load(dirs: list[Path], name: str, *overrides: str) -> LoadedProfile:
    return load_profile(name, profile_dirs=dirs, overrides=overrides)


def fault(dirs: list[Path], name: str, *overrides: str) -> str:
    with pytest.raises(ProfileError) as caught:
        load(dirs, name, *overrides)
    return str(caught.value)


def test_maps_merge_lists_and_scalars_replace_null_deletes(tmp_path: Path) -> None:
    dirs = write(
        tmp_path,
        base__all=WHOLE
        + "patches: [a, b]\nbuild: {jobs: 2, generator: Ninja, cmake: {A: 1, B: {value: 2, if_declared: yes}, C: 3}}\n",
        mine="schema: 1\nextends: base/all\npatches: [c]\nbuild: {jobs: null, cmake: {A: 4, B: {value: 5}, C: ~}}\n",
    )
    loaded = load(dirs, "mine")
    build = loaded.profile.build
    assert loaded.profile.patches == ("c",)
    assert build.jobs == "auto"
    assert {name: (one.value, one.if_declared) for name, one in build.cmake.items()} == {
        "A": ("4", False),
        "B": ("5", True),
    }
    assert loaded.chain == (tmp_path / "base/all.yaml", tmp_path / "mine.yaml")


def test_of_several_bases_the_last_wins_and_its_nulls_count(tmp_path: Path) -> None:
    dirs = write(
        tmp_path,
        one=WHOLE + "build: {jobs: 2, cmake: {A: 1, B: 1}}\n",
        two="schema: 1\nbuild: {jobs: 3, cmake: {A: null}}\n",
        mine="schema: 1\nextends: [one, two]\n",
    )
    build = load(dirs, "mine").profile.build
    assert build.jobs == 3
    assert list(build.cmake) == ["B"]


def test_a_quoted_null_deletes_nothing(tmp_path: Path) -> None:
    dirs = write(tmp_path, one=WHOLE + "description: x\n", two="schema: 1\nextends: one\ndescription: 'null'\n")
    assert load(dirs, "two").profile.description == "null"


def test_origins_name_the_file_the_override_or_the_default(tmp_path: Path) -> None:
    dirs = write(
        tmp_path,
        base__all=WHOLE + "build:\n  cmake:\n    A: {if_declared: true, value: 1}\n    B: 2\n",
        mine="schema: 1\nextends: base/all\nbuild: {jobs: 2, cmake: {B: 3}}\nworkspace: [cache]\n",
    )
    origins = load(dirs, "mine", "cuda.architectures=[80, 90]").profile.origins
    base, mine = tmp_path / "base/all.yaml", tmp_path / "mine.yaml"
    assert origins["source.ref"] == f"{base}:3:15"
    assert origins["build.cmake.A"] == f"{base}:7:35"
    assert origins["build.cmake.B"] == f"{mine}:3:29"
    assert origins["build.jobs"] == f"{mine}:3:15"
    assert origins["workspace"] == f"{mine}:4:12"
    assert origins["schema"] == f"{mine}:1:9"
    assert origins["cuda.architectures"] == "--set"
    assert origins["build.ccache.max_size"] == "default"
    assert origins["verify.answer"] == "default"


def test_what_null_took_back_is_a_default_again(tmp_path: Path) -> None:
    dirs = write(tmp_path, p=WHOLE + "build: {jobs: 2}\n")
    profile = load(dirs, "p", "build.jobs=null").profile
    assert profile.build.jobs == "auto"
    assert profile.origins["build.jobs"] == "default"


def test_a_fault_is_placed_in_the_file_where_the_value_stood(tmp_path: Path) -> None:
    dirs = write(
        tmp_path, base__all=WHOLE + "build:\n  jobs: many\n", mine="schema: 1\nextends: base/all\npython: 3.10\n"
    )
    assert fault(dirs, "mine").startswith(f"{tmp_path}/base/all.yaml:6:9: ")


def test_what_is_replaced_above_does_no_harm_below(tmp_path: Path) -> None:
    dirs = write(
        tmp_path, base__all=WHOLE + "build: {jobs: many}\n", mine="schema: 1\nextends: base/all\nbuild: {jobs: 3}\n"
    )
    assert load(dirs, "mine").profile.build.jobs == 3


def test_a_circle_is_named(tmp_path: Path) -> None:
    dirs = write(
        tmp_path,
        a=WHOLE + "extends: b\n",
        b="schema: 1\nextends: [c]\n",
        c="schema: 1\nextends: ./a.yaml\n",
        me="schema: 1\nextends: ./me.yaml\n",
    )
    assert fault(dirs, "a") == (
        f"{tmp_path}/c.yaml:2:10: `extends` goes in a circle: a.yaml -> b.yaml -> c.yaml -> a.yaml"
    )
    assert "me.yaml -> me.yaml" in fault(dirs, "me")


def test_a_long_chain_and_a_doubling_one_end(tmp_path: Path) -> None:
    names = {f"p{n}": f"schema: 1\nextends: [p{n + 1}, p{n + 1}]\n" for n in range(12)}
    dirs = write(tmp_path, **names, p12=WHOLE)
    assert len(load(dirs, "p0").chain) == 13
    dirs = write(tmp_path, **{f"q{n}": f"schema: 1\nextends: q{n + 1}\n" for n in range(40)})
    assert "more than 16 files deep" in fault(dirs, "q0")


@pytest.mark.parametrize(
    ("extends", "place", "words"),
    [
        ("base/absent", "2:10", "no profile named `base/absent`"),
        ("./absent.yaml", "2:10", "no such file"),
        ("../../etc/passwd", "2:10", "no such file"),
        ("base/../../x", "2:10", "expected a profile's name or a path"),
        ("{a: b}", "2:10", "a list of names"),
        ("[[a]]", "2:11", "a list of names"),
        ("[~]", "2:11", "a list of names"),
        ("mine", "2:10", "no profile named `mine`"),
        ("x" * 5000 + ".yaml", "2:10", "no such file"),
    ],
)
def test_an_extends_that_leads_nowhere(tmp_path: Path, extends: str, place: str, words: str) -> None:
    dirs = write(tmp_path / "a" / "b", mine=f"schema: 1\nextends: {extends}\n")
    error = fault(dirs, "mine")
    assert error.startswith(f"{tmp_path}/a/b/mine.yaml:{place}: ")
    assert words in error


def test_every_file_of_a_chain_says_its_schema(tmp_path: Path) -> None:
    dirs = write(tmp_path, base__new="schema: 2\n", mine=WHOLE + "extends: base/new\n")
    assert fault(dirs, "mine").startswith(f"{tmp_path}/base/new.yaml:1:9: expected 1")


def test_the_first_directory_wins_and_the_hidden_file_is_reported(tmp_path: Path) -> None:
    write(tmp_path / "one", p=WHOLE + "description: one\n")
    write(tmp_path / "two", p=WHOLE + "description: two\n")
    loaded = load([tmp_path / "absent", tmp_path / "one", tmp_path / "two"], "p")
    used, hidden = tmp_path / "one/p.yaml", tmp_path / "two/p.yaml"
    assert loaded.profile.description == "one"
    assert loaded.shadowed == (Shadow("p", used, hidden),)
    assert loaded.notes == (f"{used} hides {hidden}",)


def test_a_profile_may_extend_the_one_that_it_hides(tmp_path: Path) -> None:
    write(tmp_path / "one", p="schema: 1\nextends: p\nbuild: {jobs: 2}\n")
    write(tmp_path / "two", p=WHOLE)
    loaded = load([tmp_path / "one", tmp_path / "two"], "p")
    assert loaded.profile.build.jobs == 2
    assert loaded.chain == (tmp_path / "two/p.yaml", tmp_path / "one/p.yaml")


def test_the_search_path_is_ours_after_the_users_and_never_the_current_directory(
    tmp_path: Path, private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, here=WHOLE)
    monkeypatch.chdir(tmp_path)
    path = search_path([Path("/x")], {"HOME": str(private_home)})
    assert path[:2] == [Path("/x"), private_home / ".config/trtllm-builder/profiles"]
    assert (path[2] / "canary.yaml").is_file()
    assert "no profile named `here`" in fault(path, "here")
    assert load(path, "./here.yaml").profile.name == "here"
    assert load(path, "here.yaml").path == Path("here.yaml")


@pytest.mark.parametrize("name", ["a/../b", "..", "a//b", "", "a\nb", "-x", "\udcff", "a" * 300, "a\0b", ".hidden"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    assert "expected a profile's name or a path" in fault([tmp_path], name)


@pytest.mark.parametrize("name", ["a\0b.yaml", "/" + "a" * 5000 + ".yaml", "~/absent.yaml", "./a/b"])
def test_paths_that_lead_nowhere(tmp_path: Path, name: str) -> None:
    assert "no such file" in fault([tmp_path], name)


def test_a_near_name_is_offered(tmp_path: Path) -> None:
    dirs = write(tmp_path, autodl=WHOLE, base__common="schema: 1\n")
    assert "did you mean `autodl`?" in fault(dirs, "autodel")
    assert "did you mean `base/common`?" in fault(dirs, "base/comon")


def test_a_part_is_no_profile_and_need_not_be_complete(tmp_path: Path) -> None:
    dirs = write(tmp_path, base__x="schema: 1\nbuild: {jobs: 2}\n", base__y="schema: 1\nbuild: {jobs: two}\n")
    assert "is a part" in fault(dirs, "base/x")
    assert check_file("base/x", profile_dirs=dirs) == (tmp_path / "base/x.yaml", "part")
    with pytest.raises(ProfileError, match=r"y\.yaml:2:15"):
        check_file("base/y", profile_dirs=dirs)
    assert [one.name for one in list_profiles(dirs)] == []


def test_mirror_sets_come_in_the_order_given(tmp_path: Path) -> None:
    git = "git: [{prefix: 'https://github.com/', replacement: 'https://m.example/gh/'}]\n"
    dirs = write(tmp_path, mirrors__a=f"schema: 1\n{git}", mirrors__b="schema: 1\nlfs: https://l.example/x\n", p=WHOLE)
    loaded = load(dirs, "p", "source.mirrors=[b, a]")
    assert [one.name for one in loaded.mirrors] == ["b", "a"]
    assert loaded.mirrors[0].lfs == "https://l.example/x"
    assert loaded.mirrors[1].git[0].replacement == "https://m.example/gh/"
    assert "not pinned" in loaded.notes[0]
    assert load(dirs, "p", "source.mirrors=a").profile.source.mirrors == ("a",)
    assert fault(dirs, "p", "source.mirrors=[a, c]").startswith("--set source.mirrors=[a, c]:1:20: no mirror set named")
    with pytest.raises(ProfileError) as caught:
        load(dirs, "p", "source.mirrors=[c]")
    assert caught.value.remedy.startswith("there is no file mirrors/c.yaml in ")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("git: [{prefix: 'https://github.com/'}]", "2:7", "`git.0.replacement` is missing"),
        ("git: [{prefix: 'ext::x', replacement: 'https://x/'}]", "2:16", "expected a URL"),
        ("name: x", "2:1", "unknown key `name`"),
        ("pip_indx: 'https://x/'", "2:1", "did you mean `pip_index`"),
    ],
)
def test_a_faulty_mirror_set(tmp_path: Path, text: str, place: str, words: str) -> None:
    dirs = write(tmp_path, mirrors__m=f"schema: 1\n{text}\n", p=WHOLE)
    error = fault(dirs, "p", "source.mirrors=m")
    assert error.startswith(f"{tmp_path}/mirrors/m.yaml:{place}: ")
    assert words in error


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("build.jbos=2", 7, "did you mean `jobs`"),
        ("build.jobs=many", 12, "`auto` or a whole number"),
        ("bild.jobs=2", 1, "did you mean `build`"),
        ("cuda.architectures=[89, 75]", 25, "Turing"),
        ("cuda=null", 6, "`cuda` is missing"),
        ("cuda.toolkit=>=12", 15, "put the value in quotes"),
        ("build.jobs", 1, "expected path=VALUE"),
        ("build.jobs=", 1, "expected path=VALUE"),
        ("=2", 1, "expected keys with dots"),
        ("build..jobs=2", 7, "expected keys with dots"),
        ("build.jobs =2", 7, "expected keys with dots"),
        ("extends=x", 1, "`extends` cannot be set"),
        ("source.mirrors=[a, {b", 22, "not valid YAML"),
        ("description=!!python/name:os.system x", 13, "tags"),
    ],
)
def test_an_override_is_placed_in_its_own_text(tmp_path: Path, text: str, column: int, words: str) -> None:
    error = fault(write(tmp_path, p=WHOLE), "p", text)
    assert error.startswith(f"--set {text}:1:{column}: ")
    assert words in error


def test_later_overrides_win_and_merge(tmp_path: Path) -> None:
    dirs = write(tmp_path, p=WHOLE)
    build = load(dirs, "p", "build.cmake.A=1", "build.cmake={B: 2}", "build.cmake.A=3").profile.build
    assert {name: one.value for name, one in build.cmake.items()} == {"A": "3", "B": "2"}


def test_the_list_shows_broken_and_hidden_profiles(tmp_path: Path) -> None:
    write(tmp_path / "one", p=WHOLE + "description: first\n", broken="schema: 1\n")
    write(tmp_path / "two", p=WHOLE + "description: second\n")
    listed = list_profiles([tmp_path / "one", tmp_path / "two"])
    assert [(one.name, one.description, one.hidden_by, one.fault is None) for one in listed] == [
        ("broken", "", None, False),
        ("p", "first", None, True),
        ("p", "second", tmp_path / "one/p.yaml", True),
    ]


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    dirs = write(tmp_path, p=WHOLE)
    (tmp_path / "p.yaml").chmod(0)
    if os.access(tmp_path / "p.yaml", os.R_OK):
        pytest.skip("root reads everything")
    assert "cannot be read: Permission denied" in fault(dirs, "p")


def test_the_name_of_a_file_becomes_a_safe_name(tmp_path: Path) -> None:
    path = tmp_path / "my profile;x.yaml"
    path.write_text(WHOLE)
    assert load([], str(path)).profile.name == "my-profile-x"


def test_a_directory_that_we_may_not_look_into_is_none(tmp_path: Path) -> None:
    import os

    from trtllm_builder.profile.search import search_path

    ours = tmp_path / "trtllm-builder/profiles"
    ours.mkdir(parents=True)
    world = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert ours in search_path([], world)
    ours.parent.chmod(0)
    uid = os.geteuid()
    try:
        os.seteuid(65534 if uid == 0 else uid)
        assert ours not in search_path([], world)
    finally:
        os.seteuid(uid)
        ours.parent.chmod(0o700)
