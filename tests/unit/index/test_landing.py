from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trtllm_builder.index.landing import landing_page
from trtllm_builder.index.model import Index, Wheel

Entry = Callable[..., Wheel]


def test_the_lines_that_install_it(entry: Entry) -> None:
    wheel = entry(beside=dict.fromkeys((".record.json", ".report.html", ".intoto.json"), "a" * 64))
    page = landing_page(Index((wheel,)))
    base = '<span class="base">https://THIS-INDEX</span>'
    url = wheel.path.replace("+", "%2B")
    assert f"pip install &#39;tensorrt-llm @ {base}/{url}#sha256={wheel.sha256}&#39;" in page.replace("'", "&#39;")
    assert f"{base}/v/cu130-sm89/simple/ 'tensorrt-llm==1.2.0+sd.cu130.sm89'" in page
    assert "explicit = true" in page and 'tensorrt-llm = { index = "cu130-sm89" }' in page
    assert "RTX 40 (4090)" in page and "13.0, driver 580.65.06 or newer" in page and "glibc 2.28" in page
    for suffix, name in ((".report.html", "report"), (".record.json", "record"), (".intoto.json", "provenance")):
        assert f'<a href="{url}{suffix}">{name}</a>' in page


def test_what_a_publisher_took_upon_himself_is_there_to_see(entry: Entry) -> None:
    page = landing_page(Index((entry(standing="unimported"), entry("torch", "2.9.1", standing="unverified"))))
    assert '<dd class="doubt">audited, never imported</dd>' in page
    assert "another project&#39;s wheel, taken as it is" in page


def test_withdrawn_wheels_have_no_line_and_old_ones_are_counted(entry: Entry) -> None:
    wheels = [entry(version=f"1.{minor}.0+sd.cu130.sm89", day=minor + 1) for minor in range(6)]
    wheels[5] = replace(wheels[5], yanked="wrong <b>answers</b>")
    page = landing_page(Index(tuple(wheels)))
    assert "1.5.0+sd.cu130.sm89 was withdrawn: wrong &lt;b&gt;answers&lt;/b&gt;" in page
    assert wheels[5].sha256 not in page and "2 older in" in page
    assert page.index("<h3>1.4.0") < page.index("<summary>1.3.0")


def test_what_was_withdrawn_whole_is_in_no_table(entry: Entry) -> None:
    gone = entry(version="1.0+sd.cu130.sm120", yanked="wrong")
    page = landing_page(Index((gone, entry())))
    table = page[: page.index("</table>")]
    assert "#tensorrt-llm-cu130-sm89" in table and "sm120" not in table and "1.0+sd.cu130.sm120 was withdrawn" in page
    page = landing_page(Index((gone,)))
    assert "All that was published here was withdrawn." in page and "<table>" not in page


def test_a_strangers_wheel_of_our_name_is_there_to_see(entry: Entry) -> None:
    """One that an index got before it held any of ours."""
    page = landing_page(Index((entry(), entry(version="99.0", standing="unverified"))))
    others = page[page.index("Other packages") :]
    assert "tensorrt-llm" in others and "99.0" in others and "1.2.0+sd" not in others


def test_nothing_of_a_wheel_becomes_markup(entry: Entry) -> None:
    hostile = "<img src=x onerror=alert(1)>\x1b[31m\u202e"
    page = landing_page(
        Index((entry(summary=hostile), entry("torch", standing="unverified", version="1", summary=hostile)))
    )
    assert "<img" not in page and "\x1b" not in page and "\u202e" not in page
    assert page.count("<script") == 1 and "script-src 'sha256-" in page


def test_an_empty_index_says_so() -> None:
    assert "Nothing is published here yet." in landing_page(Index())
