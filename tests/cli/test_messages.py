"""Messages name files and processes as these call themselves: no such name reaches the terminal as it is."""

from __future__ import annotations

import pytest

from plainwire.cli.messages import say


def test_a_name_in_a_message_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("/lib\x1b]0;owned\x07\n\u202e.so: can't be captured")
    assert capsys.readouterr().err == "plainwire: /lib\\x1b]0;owned\\x07\\x0a\\u202e.so: can't be captured\n"


def test_text_of_our_own_keeps_its_lines(capsys: pytest.CaptureFixture[str]) -> None:
    say("captured 1 event\nlost 2 events", prefix=False)
    assert capsys.readouterr().err == "captured 1 event\nlost 2 events\n"
