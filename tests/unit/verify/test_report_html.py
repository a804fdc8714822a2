"""The page: well-formed, complete, and deaf to what a wheel whispers."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from trtllm_builder.binary.wheel import Member
from trtllm_builder.verify.audit import audit
from trtllm_builder.verify.checks import Check, Evidence, evidence
from trtllm_builder.verify.diagnose import Diagnosis
from trtllm_builder.verify.expect import Expectation
from trtllm_builder.verify.library import Library, Target
from trtllm_builder.verify.needs import Needs
from trtllm_builder.verify.report import Report
from trtllm_builder.verify.tried import Smoke
from trtllm_builder.verify.verdict import make_report

VOID = {"meta", "br", "link", "img", "hr", "input"}
TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "footer", "h1", "h2", "div", "span", "p", "table",
    "thead", "tbody", "tr", "th", "td", "code", "pre", "ul", "li", "details", "summary", "strong", "i",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "style", "title", "scope", "colspan", "open", "role",
    "aria-label",
}  # fmt: skip
NEEDS = Needs("any Python 3", (), None, "", (), None, (), (), "", "", ())


class Page(HTMLParser):
    """Fails on tags that are not ours or are not closed in order; collects text and attributes."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text = io.StringIO()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        assert {name for name, _ in attrs} <= ATTRIBUTES, attrs
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.write(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    @property
    def words(self) -> str:
        return " ".join(self.text.getvalue().split())


def report(**change: object) -> Report:
    made = Report(
        "a-1-py3-none-any.whl", "0" * 64, 1, "nothing", NEEDS, (), (), None, (Check("size", "info", "passed", "t"),)
    )
    return replace(made, **change)  # type: ignore[arg-type]


def test_a_sound_wheel(make_wheel: Callable[..., Path], make_library: Callable[..., bytes]) -> None:
    wheel = make_wheel({"tensorrt_llm/libs/libtensorrt_llm.so": make_library("many.fatbin")})
    held = Expectation()
    page = Page(make_report(audit(wheel, held, cross_check=False), None, held).html())
    assert "passed, 7 checks skipped" in page.words and "libtensorrt_llm.so" in page.words
    assert "sm_90a" in page.words and "gpu-targets" in page.words
    assert ("class", "code") in page.attributes and ("class", "ptx") in page.attributes
    assert not any(name in ("src", "href") for name, _ in page.attributes)


def test_failures_come_first_with_evidence_and_remedy() -> None:
    checks = (
        Check("fine", "error", "passed", "is fine"),
        Check("doubt", "warning", "failed", "is sure", evidence(("not sure",)), "look"),
        Check("bad", "error", "failed", "is good", (Evidence("is bad", "pkg/a.py", 7),), "mend it"),
    )
    tried = Smoke(("m",), "hang", "import", diagnosis=Diagnosis("x", "No.", "Do."), stack="File a", output="out")
    page = Page(report(checks=checks, imports=tried).html())
    words = page.words
    assert words.index("pkg/a.py:7: is bad") < words.index("mend it") < words.index("not sure") < words.index("is fine")
    assert "File a" in words and "out" in words and ("class", "verdict fail") in page.attributes


def test_long_lists_end() -> None:
    many = evidence(f"thing {n}" for n in range(5000))
    page = Page(report(checks=(Check("a", "error", "failed", "t", many),)).html())
    assert "thing 199" in page.words and "thing 200" not in page.words and "and 4800 more" in page.words


hostile = st.one_of(
    st.sampled_from(
        ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "{% raw %}", "\x1b[31mred",
         "a\u202egnp.exe", "</title><svg/onload=x>", "&lt;b&gt;", "\udcff\udc80", "x' onmouseover='y", "<!--", "]]>"]
    ),
    st.text(max_size=40),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(hostile, min_size=8, max_size=8))
def test_nothing_hostile_gets_through(texts: list[str]) -> None:
    a, b, c, d, e, f, g, h = texts
    target = Target("sm_89", "cubin", True, False, 1, 10)
    made = report(
        wheel=a,
        held_to=b,
        needs=replace(NEEDS, torch=c, communication=(d,)),
        members=(Member(e, 3, 2, "", True), Member(f, 3, 2, "", False)),
        libraries=(Library(e, 3, needed=(f,), runpath=(g,), targets=(target,)), Library(h, 1, error=a)),
        checks=(Check("id", "error", "failed", b, (Evidence(c, d, 3), Evidence(e)), f),),
        imports=Smoke((g,), "failed", "import", diagnosis=Diagnosis(h, a, b), stack=c, output=d, answer=e),
    )
    text = made.html()
    Page(text)
    assert "\x1b" not in text and "\u202e" not in text
    text.encode("utf-8", errors="replace")
