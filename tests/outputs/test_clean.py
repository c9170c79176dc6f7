from __future__ import annotations

import json
import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from plainwire.outputs.clean import clean_name, clean_text, escape_json

SHOWN_AS_THEY_ARE = {"\n", "\t"}


def must_be_escaped(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character not in SHOWN_AS_THEY_ARE


def test_every_character_of_the_unsafe_categories_is_escaped_and_no_other_assigned_one() -> None:
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        if unicodedata.category(character) == "Cn":
            continue
        shown = clean_text("a" + character)  # not at a line's start, where the mark is escaped
        if must_be_escaped(character):
            assert shown.isascii() and shown.isprintable() and shown.startswith("a\\"), hex(number)
        else:
            assert shown == "a" + character, hex(number)


def test_escapes_tell_bytes_from_characters() -> None:
    text = b"\x1b[2J \x00 \r \x7f \xff \x85".decode("utf-8", "surrogateescape") + "\x85 \u202e \U000e0041"
    assert clean_text(text) == r"\x1b[2J \x00 \r \x7f \xff \x85\u0085 \u202e \U000e0041"


def test_a_line_that_looks_like_a_header_is_escaped() -> None:
    assert clean_text("━━ 16:03\na ━━ b\n━c") == "\\u2501━ 16:03\na ━━ b\n\\u2501c"


def test_names_stay_on_one_line() -> None:
    assert clean_name("a\nb\tc\x1b") == r"a\x0ab\x09c\x1b"
    assert clean_name("héllo 你好") == "héllo 你好"


@given(st.text())
def test_json_escapes_are_read_back_as_what_they_stand_for(text: str) -> None:
    encoded = json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False)
    escaped = escape_json(encoded)
    assert json.loads(escaped) == json.loads(encoded)
    assert not any(must_be_escaped(character) for character in escaped)
