"""The text view: every value with its origin, files by short names, nothing that harms a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trtllm_builder.plan.model import Lack, Plan, Setting
from trtllm_builder.plan.request import Request
from trtllm_builder.plan.resolve import resolve
from trtllm_builder.plan.show import short_names, text_lines
from trtllm_builder.plan.survey import Survey
from trtllm_builder.upstream.catalogue import row_for
from trtllm_builder.upstream.model import Probe

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


@pytest.fixture
def plan(make_request: Callable[..., Request], make_survey: Callable[..., Survey], assumed: Probe) -> Plan:
    environ = dict.fromkeys(("SSL_CERT_FILE", "PIP_CERT", "CURL_CA_BUNDLE"), CERTIFICATES)
    request = make_request(environ={**environ, "https_proxy": "http://proxy:1"})
    return resolve(request, make_survey(), assumed, row_for("release/1.1"))


def test_every_value_and_origin_is_there(plan: Plan) -> None:
    text = "\n".join(text_lines(plan))
    names = short_names(plan.chain)
    for part in plan.command:
        assert " ".join(part.words) in text.replace("'", "")
    for setting in (*plan.environment, *plan.options):
        assert setting.name in text and setting.value in text
        origin = setting.origin
        for path, name in names.items():
            origin = origin.replace(path, name)
        assert f"[{origin}]" in text or setting.name in {option.name for option in plan.options}
    for shown in (plan.jobs.arithmetic, plan.label, plan.disk.source, plan.time.source, plan.workspace.value, plan.out):
        assert shown in text


def test_files_are_named_once_in_full_and_then_short(plan: Plan, tmp_path: Path) -> None:
    lines = text_lines(plan)
    assert re.fullmatch(rf"  profile +mine\.yaml +\[in {tmp_path}/profiles\]", lines[1])
    assert re.fullmatch(r"  +base/single-device\.yaml +\[in /.*/profiles\]", lines[2])
    rest = "\n".join(lines[3:])
    assert str(tmp_path / "profiles") not in rest
    assert "  [mine.yaml:4:15]" in rest
    assert re.search(r"--build_type Release +\[base/single-device\.yaml:\d+:\d+; catalogue\]", rest)


def test_two_files_of_one_name_keep_their_paths() -> None:
    chain = ("/me/profiles/x.yaml", "/ours/profiles/x.yaml", "/ours/profiles/base/x.yaml", "y.yaml")
    assert short_names(chain) == {"/ours/profiles/base/x.yaml": "base/x.yaml", "y.yaml": "y.yaml"}


def test_a_name_is_only_shortened_where_an_origin_begins_with_it(plan: Plan) -> None:
    odd = replace(plan, chain=("/a/x.yaml",), environment=(Setting("A", "1", "/b/a/x.yaml:1:1"),))
    assert "  A=1  [/b/a/x.yaml:1:1]" in text_lines(odd)


def test_the_host_s_variables_come_last_and_equal_ones_together(plan: Plan) -> None:
    lines = text_lines(plan)
    environment = lines[lines.index("environment") + 1 :]
    environment = environment[: environment.index("")]
    hosts = [line for line in environment if "[host environment]" in line]
    assert environment[-2:] == hosts
    assert [line.split("  ")[1] for line in hosts] == [
        "https_proxy=http://proxy:1",
        f"SSL_CERT_FILE, CURL_CA_BUNDLE, PIP_CERT={CERTIFICATES}",
    ]


def test_columns_are_aligned_and_what_does_not_fit_has_its_origin_below(plan: Plan) -> None:
    settings = (Setting("A", "1", "why"), Setting("LONGER", "value", "because"), Setting("PATH", "/x" * 80, "far"))
    lines = text_lines(replace(plan, environment=settings))
    at = lines.index("environment")
    assert lines[at + 1 : at + 5] == [
        "  A=1           [why]",
        "  LONGER=value  [because]",
        f"  PATH={'/x' * 80}",
        "  [far]",
    ]


def test_nothing_reaches_the_terminal_but_text(plan: Plan) -> None:
    hostile = replace(
        plan,
        description="\x1b[31mred\x07 https://me:hunter2@host/x",
        notes=("note \x1b]0;title\x07",),
        lacks=(Lack("lack \x1b[2J", ("step \u202e1",)),),
    )
    text = "\n".join(text_lines(hostile))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    assert "hunter2" not in text and text.startswith("plan for mine: red https://***@host/x")
    assert text.endswith("this host lacks\n  lack \n    step 1")


def test_the_jobs_are_one_line_and_why(plan: Plan) -> None:
    lines = text_lines(plan)
    at = next(number for number, line in enumerate(lines) if line.startswith("  jobs "))
    assert re.match(r"  jobs +4 at most, as memory allows +\[base/single-device", lines[at])
    assert lines[at + 1].strip() == plan.jobs.arithmetic and len(lines[at + 1]) <= 120
    wide = text_lines(replace(plan, jobs=replace(plan.jobs, arithmetic="long " * 40)))
    assert wide[at + 2].startswith("  ") and "cores:" in wide[at + 2]


def test_no_variable_is_set_twice(plan: Plan) -> None:
    names = [setting.name for setting in plan.environment]
    assert len(names) == len(set(names))
