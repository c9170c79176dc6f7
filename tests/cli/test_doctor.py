"""`plainwire doctor` tells of each hook which way a capture takes, and `--hooks` takes another or says why not."""

from __future__ import annotations

import json

import pytest

from tests.conftest import RunPlainwire
from tests.support.plainwire import plainwire

pytestmark = pytest.mark.bpf

# The families that a hook with several ways has; each is there to be chosen.
FAMILIES = ("tracepoint", "kprobe", "fentry")


def ladders() -> list[dict[str, object]]:
    told = json.loads(plainwire("doctor", "--json").stdout)
    hooks: list[dict[str, object]] = told["hooks"]
    return hooks


def ways_of(hook: dict[str, object]) -> list[dict[str, object]]:
    ways = hook["ways"]
    assert isinstance(ways, list)
    return ways


def test_the_first_way_that_works_is_used() -> None:
    for hook in ladders():
        working = [way for way in ways_of(hook) if way["status"] == "works"]
        assert [way for way in ways_of(hook) if way["used"]] == working[:1], hook
        assert all(way["reason"] for way in ways_of(hook) if way["status"] != "works")
        assert all(way["places"] for way in ways_of(hook))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_chosen_way_is_taken_or_refused(run_plainwire: RunPlainwire, family: str) -> None:
    (hook,) = [hook for hook in ladders() if hook["name"] == "socket used inside a call"]
    (way,) = [way for way in ways_of(hook) if way["family"] == family]
    if way["status"] == "works":
        run_plainwire("--hooks", family, "--comm", "plainwire-none")
        return
    refused = plainwire("capture", "--hooks", family, "--duration", "1")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert refused.stderr.startswith(f"plainwire: --hooks {family}: socket used inside a call can't be seen so here")
    assert str(way["reason"]) in refused.stderr
