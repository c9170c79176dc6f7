"""Calls of every shape, made through the real libssl: each byte that a call moved comes once and in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import RunPlainwire
from tests.support.certificate import Certificate
from tests.support.tls_program import capture_program, captured

pytestmark = pytest.mark.bpf


@pytest.mark.parametrize("mode", ["partial", "whole"])
def test_retried_and_partial_writes_come_once(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, mode: str
) -> None:
    done, events = capture_program(run_plainwire, "partial_writes", certificate, tmp_path, mode)
    assert captured(events, done.pid) == done.moved


@pytest.mark.parametrize("name", ["tls_in_tls", "read_inside_write", "peeks", "early_data"])
def test_program_is_captured_exactly(
    run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path, name: str
) -> None:
    done, events = capture_program(run_plainwire, name, certificate, tmp_path)
    assert len(done.moved) >= 2
    assert captured(events, done.pid) == done.moved


def test_pipes_are_named_as_such(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    done, events = capture_program(run_plainwire, "pipes", certificate, tmp_path)
    assert captured(events, done.pid) == done.moved
    connections = [event["connection"] for event in events if event["kind"] == "data"]
    assert {(each["family"], each["way"], each["local_address"]) for each in connections} == {("pipe", "bio", None)}
    assert len({each["id"] for each in connections}) == 2


def test_early_data_is_marked(run_plainwire: RunPlainwire, certificate: Certificate, tmp_path: Path) -> None:
    _, events = capture_program(run_plainwire, "early_data", certificate, tmp_path)
    assert [(event["direction"], event["length"]) for event in events if event.get("early_data")] == [
        ("write", 5),
        ("write", 5),
        ("read", 5),
        ("read", 5),
    ]
