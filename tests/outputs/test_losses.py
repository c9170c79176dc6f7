from __future__ import annotations

import re
from pathlib import Path

import pytest

from plainwire.outputs.losses import LOSSES, loss_sentence, summary
from tests.support.events import stats_event

ABI = Path(__file__).parents[2] / "bpf" / "abi" / "losses.h"


def test_every_loss_that_the_kernel_counts_has_words() -> None:
    reasons = re.findall(r"^\tLOSS_(\w+) = ", ABI.read_text(), re.MULTILINE)
    assert len(reasons) >= 6
    assert {reason.lower() for reason in reasons} <= LOSSES.keys()


@pytest.mark.parametrize("reason", LOSSES)
def test_a_loss_is_told_with_its_number_and_what_helps(reason: str) -> None:
    assert re.fullmatch(r"1,234 \w[^:;]+: [^:;]+; [^:;]+", loss_sentence(reason, 1234))


def test_summary() -> None:
    assert summary(stats_event(losses={"buffer_full": 0})) == (
        "captured 1,234 events, 99,999 bytes of 1 process on 3 connections in 4.2 s, nothing lost"
    )
    assert summary(stats_event(losses={"buffer_full": 3, "gap": 0, "other\x1b": 2}, complete=False)).splitlines() == [
        "captured 1,234 events, 99,999 bytes of 1 process on 3 connections in 4.2 s",
        "lost 3 events: the buffer was full; a larger --buffer-size or narrower filters (--pid, --comm) lose less",
        r"lost 2 events (other\x1b)",
        "the recording was cut short: this is what came before the cut",
    ]
