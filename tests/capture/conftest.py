"""Fixtures of the live captures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.certificate import Certificate
from tests.support.keylog_judge import logging_server


@pytest.fixture
def judge(tmp_path: Path, certificate: Certificate) -> Iterator[servers.Server]:
    """A server that writes its own key log, judge.keys in `judge.files`, and serves the file hello."""
    with logging_server(tmp_path / "judge", certificate) as server:
        yield server
