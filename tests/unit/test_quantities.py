from __future__ import annotations

import pytest

from trtllm_builder.units import format_duration, format_size, parse_duration, parse_size


def test_sizes_and_durations() -> None:
    assert parse_size("6 GiB") == 6 * 2**30 and parse_size("500MB") == 500_000_000 and parse_size("1024") == 1024
    assert parse_duration("120 s") == 120 and parse_duration("1.5h") == 5400 and parse_duration("2 min") == 120
    assert format_size(6 * 2**30) == "6.0 GiB" and format_size(512) == "512 B" and format_size(2**50) == "1024.0 TiB"
    assert format_duration(8.31) == "8.3 s" and format_duration(125) == "2 min 05 s"
    assert format_duration(12000) == "3 h 20 min"


@pytest.mark.parametrize("text", ["", "six GiB", "6 gigs", "-1 GiB", "1e9", "6 GiB extra", "٦ GiB"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="such as 6 GiB"):
        parse_size(text)
