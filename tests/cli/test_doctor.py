"""`plainwire doctor` tells of each hook which way a capture takes, and `--hooks` takes another or says why not."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.conftest import RunPlainwire
from tests.support.plainwire import COMMAND, plainwire

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


def test_what_is_refused_without_privileges_is_not_called_missing() -> None:
    """The same kernel has it for root, so it is the right that is missing."""
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]
    told = subprocess.run([*command, COMMAND, "doctor", "--json"], capture_output=True, text=True, check=False)
    if told.returncode == 126 or not told.stdout:
        pytest.skip("another user can't read this checkout")
    for_nobody = {one["name"]: one for one in json.loads(told.stdout)["features"]}
    for one in json.loads(plainwire("doctor", "--json").stdout)["features"]:
        if one["name"] in ("uprobe_multi", "ring buffer", "tracepoint") and one["status"] == "works":
            assert for_nobody[one["name"]]["status"] == "refused"
            assert "CAP_BPF" in for_nobody[one["name"]]["reason"]
            assert "sudo" in for_nobody[one["name"]]["reason"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_chosen_way_is_taken_or_refused(run_plainwire: RunPlainwire, family: str) -> None:
    (hook,) = [hook for hook in ladders() if hook["name"] == "socket used inside a call"]
    (way,) = [way for way in ways_of(hook) if way["family"] == family]
    if way["status"] == "works":
        run_plainwire("--module", "openssl", "--hooks", family, "--comm", "plainwire-none")
        return
    refused = plainwire("capture", "--module", "openssl", "--hooks", family, "--duration", "1")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    # Where a Go program runs, its module's hook may come first.
    assert refused.stderr.startswith(f"plainwire: --hooks {family}: socket used inside a call")
    assert "can't be seen so here" in refused.stderr
    assert str(way["reason"]) in refused.stderr
