from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trtllm_builder.text import clean, has_credentials, nearest, redact


@given(st.text(alphabet=st.characters(max_codepoint=0x2100), max_size=200))
def test_nothing_that_moves_a_cursor_survives(text: str) -> None:
    cleaned = clean(text)
    assert not any((ord(c) < 32 and c not in "\t\n") or 0x7F <= ord(c) <= 0x9F for c in cleaned)
    assert clean(cleaned) == cleaned


def test_escapes_go_with_their_arguments() -> None:
    assert clean("\x1b[31mred\x1b[0m \x1b]0;title\x07x\x1b]8;;http://a\x1b\\link \x9b2Jy") == "red xlink y"
    assert clean("50%\r100%\ta\r\nb") == "50%100%\ta\nb"


@given(st.from_regex(r"[A-Za-z0-9:@!$&*+,;=~._%-]{1,20}", fullmatch=True))
def test_no_user_part_survives(user: str) -> None:
    shown = redact(f"fetch https://{user}@host.example/path failed")
    assert shown == "fetch https://***@host.example/path failed"


def test_secret_query_values_go_and_the_rest_stays() -> None:
    assert redact("u?access_token=abc&x=1 https://h/a") == "u?access_token=***&x=1 https://h/a"
    assert has_credentials("https://me:pw@h/") and not has_credentials("ssh://git@h/x")


def test_nearest_name() -> None:
    assert nearest("architecture", ["architectures", "toolkit"]) == "architectures"
    assert nearest("zzz", ["architectures"]) is None
